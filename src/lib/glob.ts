/** Tests a whole text against one glob. */
export type Glob = (text: string) => boolean;

type Token = { readonly kind: "star" } | { readonly kind: "one"; readonly accepts: (character: string) => boolean };

const STAR: Token = { kind: "star" };

/**
 * Compiles a glob with the rules of Python's `fnmatch`, case-sensitive: `*` stands for any characters, `/` included, `?`
 * for one, `[abc]`, `[a-z]` and `[!abc]` for one of a set; a `[` that is never closed stands for itself. Every text is a
 * glob. Matching takes time in proportion to glob times text at most, whatever the glob.
 */
export function compileGlob(glob: string): Glob {
  const tokens = tokenize([...glob]);
  return (text) => matches(tokens, [...text]);
}

/** The glob that matches a text and nothing else. */
export function escapeGlob(text: string): string {
  return text.replace(/[*?[]/g, "[$&]");
}

function tokenize(glob: readonly string[]): Token[] {
  const tokens: Token[] = [];
  for (let at = 0; at < glob.length; at++) {
    const character = glob[at] ?? "";
    if (character === "*") {
      if (tokens.at(-1) !== STAR) tokens.push(STAR);
    } else if (character === "?") {
      tokens.push({ kind: "one", accepts: () => true });
    } else {
      const end = character === "[" ? endOfSet(glob, at) : -1;
      tokens.push({ kind: "one", accepts: end < 0 ? (other) => other === character : set(glob.slice(at + 1, end)) });
      if (end >= 0) at = end;
    }
  }
  return tokens;
}

/** The index of the `]` that closes the set opened at `start`, or -1; a `]` that comes first is a member. */
function endOfSet(glob: readonly string[], start: number): number {
  const first = glob[start + 1] === "!" ? start + 2 : start + 1;
  return glob.indexOf("]", first + 1);
}

function set(content: readonly string[]): (character: string) => boolean {
  const negated = content[0] === "!";
  const members = negated ? content.slice(1) : content;
  const ranges: [from: number, to: number][] = [];
  for (let at = 0; at < members.length; at++) {
    const isRange = members[at + 1] === "-" && at + 2 < members.length;
    ranges.push([codePoint(members[at]), codePoint(members[isRange ? at + 2 : at])]);
    if (isRange) at += 2;
  }
  return (character) => {
    const code = codePoint(character);
    return negated !== ranges.some(([from, to]) => from <= code && code <= to);
  };
}

const codePoint = (character: string | undefined): number => character?.codePointAt(0) ?? -1;

/** Only the last star ever needs another try, since an earlier one could gain nothing by taking more. */
function matches(tokens: readonly Token[], text: readonly string[]): boolean {
  let token = 0;
  let at = 0;
  let star = -1;
  let taken = 0;
  while (at < text.length) {
    const current = tokens[token];
    if (current?.kind === "star") {
      star = token++;
      taken = at;
    } else if (current?.accepts(text[at] ?? "")) {
      token++;
      at++;
    } else if (star >= 0) {
      token = star + 1;
      at = ++taken;
    } else {
      return false;
    }
  }
  while (tokens[token]?.kind === "star") token++;
  return token === tokens.length;
}
