const BINARY_UNITS = ["KiB", "MiB", "GiB", "TiB", "PiB"] as const;
const DECIMAL_UNITS = ["kB", "MB", "GB", "TB", "PB"] as const;

const FACTORS: ReadonlyMap<string, number> = new Map([
  ["", 1],
  ["b", 1],
  ...BINARY_UNITS.map((unit, index): [string, number] => [unit.toLowerCase(), 1024 ** (index + 1)]),
  ...DECIMAL_UNITS.map((unit, index): [string, number] => [unit.toLowerCase(), 1000 ** (index + 1)]),
]);

/**
 * Reads a size such as `64MiB` (binary), `10GB` (decimal) or `4096` as whole bytes. Units may be in any case.
 *
 * @throws Error whose message is the rule: what is accepted.
 */
export function parseBytes(text: string): number {
  const [, amount, unit = ""] = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim()) ?? [];
  const factor = FACTORS.get(unit.toLowerCase());
  if (amount !== undefined && factor !== undefined) {
    const bytes = Math.round(Number(amount) * factor);
    if (Number.isSafeInteger(bytes)) return bytes;
  }
  throw new Error("must be a size such as 64MiB, 1GiB, 10GB or a plain number of bytes");
}

/** Prints whole bytes as {@link parseBytes} reads them, exactly: in the largest binary unit that divides them. */
export function formatBytes(bytes: number): string {
  for (const [index, unit] of [...BINARY_UNITS.entries()].reverse()) {
    const factor = 1024 ** (index + 1);
    if (bytes >= factor && bytes % factor === 0) return `${bytes / factor}${unit}`;
  }
  return String(bytes);
}

/** Prints bytes for people, to three digits or so: `0 B`, `640 B`, `1.5 KiB`, `34.2 MiB`, `120 GiB`. */
export function humanBytes(bytes: number | bigint): string {
  let value = Number(bytes);
  if (value < 1024) return `${value} B`;
  let unit = "";
  for (const name of BINARY_UNITS) {
    if (value < 1023.5) break;
    value /= 1024;
    unit = name;
  }
  return `${value < 99.95 ? value.toFixed(1) : Math.round(value)} ${unit}`;
}
