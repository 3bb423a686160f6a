/** What follows an opcode: so many bytes, so many lines, or a length of so many bytes and as many bytes as it says. */
type Argument = { readonly bytes: number } | { readonly lines: number } | { readonly length: number };

const ARGUMENTS = new Map<number, Argument>([
  ...each("(.012NQRabd}elost)u]\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94\x97\x98", { bytes: 0 }),
  ...each("FILPSVgp", { lines: 1 }),
  ...each("ci", { lines: 2 }),
  ...each("Khq\x80\x82", { bytes: 1 }),
  ...each("M\x83", { bytes: 2 }),
  ...each("Jjr\x84", { bytes: 4 }),
  ...each("G\x95", { bytes: 8 }),
  ...each("UC\x8a\x8c", { length: 1 }),
  ...each("TXB\x8b", { length: 4 }),
  ...each("\x8d\x8e\x96", { length: 8 }),
]);

/** What an opcode does to the stack: how many things it needs there, and how many more there are afterwards. */
type Effect = readonly [needs: number, change: number];

const EFFECTS = new Map<number, Effect>([
  ...each<Effect>("NFILSVPGJKMTUXBC]})\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x96\x97cghj2", [0, 1]),
  ...each<Effect>("0", [1, -1]),
  ...each<Effect>("abR\x81\x86\x93", [2, -1]),
  ...each<Effect>("s\x87\x92", [3, -2]),
  ...each<Effect>("Q\x85\x94\x98pqr.", [1, 0]),
]);

const MARK = "(".charCodeAt(0);
/** Opcodes that take all down to the mark and leave one thing, or nothing. */
const COLLECTS = new Set(Buffer.from("tldoi\x91", "latin1"));
const EMPTIES = new Set(Buffer.from("1ue\x90", "latin1"));

const PROTOCOL = 0x80;
const STOP = ".".charCodeAt(0);
/** Opcodes that a pickle can begin with: all others need something that came before. */
const FIRST = new Set(Buffer.from("(]})cNFILSVPGJKMUTXBC", "latin1"));
/** Opcodes that call or make something. */
const CALLS = new Set(Buffer.from("Rio\x81\x92", "latin1"));
const NAMES = /^[A-Za-z_][\w.]*\n[A-Za-z_][\w.]*\n$/;
const NUMBER = /^-?[\d.+eEnaif-]+L?\n$/;
/** So many opcodes in a row are no accident: plain text and other formats break off before. */
const ENOUGH = 8;

/**
 * Whether a file that begins with `head`, and ends there if it is `whole`, is a pickle of any protocol. From the second on it
 * says so; the older ones are found by walking over their opcodes.
 */
export function beginsAsPickle(head: Buffer, whole: boolean): boolean {
  const [first = 0, protocol = 0, next = 0] = head;
  if (first === PROTOCOL) return protocol >= 2 && protocol <= 5 && ARGUMENTS.has(next);
  return FIRST.has(first) && walks(head, whole);
}

function walks(head: Buffer, whole: boolean): boolean {
  const stack = new Stack();
  let calls = false;
  let opcodes = 0;
  for (let at = 0; at < head.length; ) {
    const opcode = head[at] ?? 0;
    const argument = ARGUMENTS.get(opcode);
    if (argument === undefined || !stack.apply(opcode)) return false;
    at += 1;
    // Whatever follows the end is not looked at by who loads it.
    if (opcode === STOP) return calls || (whole && at === head.length && opcodes > 0);
    const end = endOf(head, at, argument);
    if (end > head.length) break;
    if (!isArgument(opcode, head.toString("latin1", at, end))) return false;
    calls ||= CALLS.has(opcode);
    opcodes += 1;
    at = end;
  }
  return !whole && opcodes >= ENOUGH;
}

/** The depth of a pickle's stack, above each of its marks. */
class Stack {
  readonly #above: number[] = [0];

  /** False if the stack does not hold what the opcode needs. */
  apply(opcode: number): boolean {
    if (opcode === MARK) {
      this.#above.push(0);
      return true;
    }
    const collects = COLLECTS.has(opcode);
    if (collects || EMPTIES.has(opcode)) {
      if (this.#above.length === 1) return false;
      this.#above.pop();
      return this.#change(0, collects ? 1 : 0);
    }
    const [needs, change] = EFFECTS.get(opcode) ?? [0, 0];
    return this.#change(needs, change);
  }

  #change(needs: number, change: number): boolean {
    const depth = this.#above.at(-1) ?? 0;
    this.#above[this.#above.length - 1] = depth + change;
    return depth >= needs;
  }
}

/** Beyond the head if the argument is not all there. */
function endOf(head: Buffer, at: number, argument: Argument): number {
  if ("bytes" in argument) return at + argument.bytes;
  if ("length" in argument) {
    const start = at + argument.length;
    if (start > head.length) return Number.POSITIVE_INFINITY;
    const { length } = argument;
    return start + (length === 8 ? Number(head.readBigUInt64LE(at)) : head.readUIntLE(at, length));
  }
  let end = at;
  for (let line = 0; line < argument.lines; line++) {
    const newline = head.indexOf(10, end);
    if (newline < 0) return Number.POSITIVE_INFINITY;
    end = newline + 1;
  }
  return end;
}

function isArgument(opcode: number, text: string): boolean {
  switch (String.fromCharCode(opcode)) {
    case "c":
    case "i":
      return NAMES.test(text);
    case "S":
      return /^(['"]).*\1\n$/.test(text);
    case "F":
    case "I":
    case "L":
      return NUMBER.test(text);
    case "g":
    case "p":
      return /^\d+\n$/.test(text);
    default:
      return true;
  }
}

function each<Value>(opcodes: string, value: Value): [number, Value][] {
  return [...Buffer.from(opcodes, "latin1")].map((opcode) => [opcode, value]);
}
