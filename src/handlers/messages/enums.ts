import type { DescEnum } from "@bufbuild/protobuf";

/** Translates between the words of a union of the domain and the numbers of a protobuf enum of the same names. */
export interface EnumCodec<Word extends string, Value extends number> {
  toMessage(word: Word): Value;
  /** Undefined for the zero value: not said. */
  fromMessage(value: Value): Word | undefined;
}

/** Makes the codec of an enum; throws if the union has a word that the enum lacks, so that a mismatch cannot start. */
export function enumCodec<Word extends string, Value extends number>(
  desc: DescEnum,
  words: readonly Word[],
): EnumCodec<Word, Value> {
  const values = new Map<Word, Value>();
  const names = new Map<number, Word>();
  for (const word of words) {
    const found = desc.values.find((value) => value.localName === word);
    if (!found) throw new Error(`${desc.typeName} has no value for ${word}`);
    values.set(word, found.number as Value);
    names.set(found.number, word);
  }
  return {
    toMessage: (word) => values.get(word) as Value,
    fromMessage: (value) => names.get(value),
  };
}
