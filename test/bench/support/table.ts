import { isReached, type Row, type Target } from "./row.ts";

const HEAD = ["what", "ours", "peer", "ratio", "target", "reached"];

/** Prints rows as a Markdown table whose columns are aligned. */
export function formatTable(rows: readonly Row[]): string {
  const lines = [HEAD, ...rows.map(cellsOf)];
  const widths = HEAD.map((_, column) => Math.max(...lines.map((cells) => cells[column]?.length ?? 0)));
  const join = (cells: readonly string[]) =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`;
  const rule = widths.map((width) => "-".repeat(width));
  return [HEAD, rule, ...lines.slice(1)].map(join).join("\n");
}

function cellsOf(row: Row): string[] {
  const { what, ours, peer = "-", ratio, unit, target } = row;
  const reached = isReached(row);
  return [
    what,
    ours,
    peer,
    ratio === undefined || unit !== undefined ? "-" : ratio.toFixed(2),
    target === undefined ? "-" : `${targetText(target)}${unit === undefined ? "" : ` ${unit}`}`,
    reached === undefined ? "-" : reached ? "yes" : "no",
  ];
}

function targetText(target: Target): string {
  return "atMost" in target ? `<= ${target.atMost}` : `>= ${target.atLeast}`;
}
