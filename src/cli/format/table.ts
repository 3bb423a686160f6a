/** A column of a table: its heading, and what it shows of a row. */
export interface Column<Row> {
  readonly heading: string;
  readonly align?: "left" | "right";
  text(row: Row): string;
}

/** Prints rows under headings, each column as wide as its widest text. Empty texts show as `-`. */
export function formatTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const lines = [
    columns.map((column) => column.heading),
    ...rows.map((row) => columns.map((column) => printable(column.text(row)) || "-")),
  ];
  const widths = columns.map((_, index) => Math.max(...lines.map((line) => line[index]?.length ?? 0)));
  return lines
    .map((line) =>
      line
        .map((text, index) => {
          const width = widths[index] ?? 0;
          return columns[index]?.align === "right" ? text.padStart(width) : text.padEnd(width);
        })
        .join("  ")
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join("");
}

/** Prints names and their values below each other; those without a value are left out. */
export function formatDetails(entries: readonly (readonly [name: string, value: string | undefined])[]): string {
  const shown = entries.filter((entry): entry is readonly [string, string] => Boolean(entry[1]));
  const width = Math.max(0, ...shown.map(([name]) => name.length));
  return shown.map(([name, value]) => `  ${name.padEnd(width)}  ${printable(value)}\n`).join("");
}

/** Texts come from others: what would move the cursor or colour the terminal is replaced. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, "\ufffd");
}
