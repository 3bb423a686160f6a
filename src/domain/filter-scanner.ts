import { DomainError } from "./errors.ts";

/** A value as it is written in a filter. */
export interface WrittenValue {
  readonly text: string;
  /** Whether it ended with an asterisk that was not escaped, which is not part of `text`. */
  readonly prefix: boolean;
}

const SPACE = /[ \t\r\n]*/y;
const WORD = /[A-Za-z_][A-Za-z0-9_]*/y;
const KEY = /[A-Za-z0-9_/-]+/y;
const OPERATOR = /!=|<=|>=|=|<|>|:/y;
const BARE_VALUE = /[^\s()"'=<>!,\\]+/y;

/** Walks over the text of a filter; each method takes what it names, or leaves the place as it was. */
export class FilterScanner {
  readonly #text: string;
  #index = 0;

  constructor(text: string) {
    this.#text = text;
    this.skipSpace();
  }

  /** Where the next thing begins, as an index into the text. */
  get index(): number {
    return this.#index;
  }

  get ended(): boolean {
    return this.#index >= this.#text.length;
  }

  /** FILTER_INVALID that names a place by its column, from 1. */
  error(problem: string, index = this.#index): DomainError {
    const column = [...this.#text.slice(0, index)].length + 1;
    const description = `column ${column}: ${problem}`;
    return new DomainError("FILTER_INVALID", `filter: ${description}`, {
      violations: [{ field: "filter", description }],
    });
  }

  /** FILTER_INVALID that says what was expected, and what is there instead. */
  expected(what: string): DomainError {
    const rest = this.#text.slice(this.#index);
    const found = this.ended ? "the end" : `'${/^[A-Za-z0-9_]+|^./su.exec(rest)?.[0] ?? ""}'`;
    return this.error(`expected ${what}, found ${found}`);
  }

  skipSpace(): void {
    this.#match(SPACE);
  }

  /** Takes a mark such as `(`. */
  mark(mark: string): boolean {
    if (!this.#text.startsWith(mark, this.#index)) return false;
    this.#index += mark.length;
    this.skipSpace();
    return true;
  }

  /** Takes a word such as `AND` if it stands here alone. */
  keyword(word: string): boolean {
    const start = this.#index;
    if (this.#match(WORD) === word) {
      this.skipSpace();
      return true;
    }
    this.#index = start;
    return false;
  }

  /** Takes a field's name and, after dots, the key of a map; without space between them. */
  path(): { name: string; key?: string } | undefined {
    const name = this.#match(WORD);
    if (name === undefined) return undefined;
    const key: string[] = [];
    while (this.#text[this.#index] === ".") {
      this.#index += 1;
      const part = this.#quoted()?.text ?? this.#match(KEY);
      if (part === undefined)
        throw this.expected("a key after '.', in quotes if it has other characters than [A-Za-z0-9_/-]");
      key.push(part);
    }
    this.skipSpace();
    return key.length === 0 ? { name } : { name, key: key.join(".") };
  }

  operator(): string | undefined {
    const operator = this.#match(OPERATOR);
    this.skipSpace();
    return operator;
  }

  /** Takes a value: in quotes, or a word of its own. */
  value(): WrittenValue | undefined {
    const value = this.#quoted() ?? this.#bare();
    this.skipSpace();
    return value;
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#index;
    const found = pattern.exec(this.#text)?.[0];
    if (found !== undefined) this.#index += found.length;
    return found;
  }

  #bare(): WrittenValue | undefined {
    const start = this.#index;
    const word = this.#match(BARE_VALUE);
    if (word === undefined) return undefined;
    if (["AND", "OR", "NOT"].includes(word)) {
      this.#index = start;
      return undefined;
    }
    const asterisk = word.indexOf("*");
    if (asterisk < 0) return { text: word, prefix: false };
    if (asterisk < word.length - 1) throw this.error("'*' may stand at the end of a value only", start + asterisk);
    return { text: word.slice(0, -1), prefix: true };
  }

  #quoted(): WrittenValue | undefined {
    const quote = this.#text[this.#index];
    if (quote !== '"' && quote !== "'") return undefined;
    const start = this.#index;
    let text = "";
    for (let index = start + 1; index < this.#text.length; index++) {
      const character = this.#text[index];
      if (character === quote) {
        this.#index = index + 1;
        return { text, prefix: false };
      }
      if (character === "*") {
        if (this.#text[index + 1] !== quote) throw this.error("'*' may stand at the end of a value only", index);
        this.#index = index + 2;
        return { text, prefix: true };
      }
      if (character === "\\") {
        index += 1;
        const escaped = this.#text[index] ?? "";
        if (!["\\", '"', "'", "*"].includes(escaped) || escaped === "") {
          throw this.error("a backslash may stand before a quote, an asterisk or a backslash only", index - 1);
        }
        text += escaped;
      } else {
        text += character;
      }
    }
    throw this.error("this quote is not closed", start);
  }
}
