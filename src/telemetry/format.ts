import { styleText } from "node:util";
import type { Plain } from "./plain-value.ts";

/** One line of log before it is text. */
export interface LogEntry {
  readonly time: Date;
  readonly level: "debug" | "info" | "warn" | "error";
  readonly message: string;
  readonly fields: { readonly [key: string]: Plain };
}

/** One JSON object a line: `time`, `level`, `message`, then the fields. */
export function formatJson({ time, level, message, fields }: LogEntry): string {
  return JSON.stringify({ time: time.toISOString(), level, message, ...renamed(fields) });
}

/** Fields give way to the line's own names. */
function renamed(fields: LogEntry["fields"]): LogEntry["fields"] {
  return Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [/^(?:time|level|message)$/.test(key) ? `${key}_` : key, value]),
  );
}

const COLORS = { debug: "gray", info: "green", warn: "yellow", error: "red" } as const;

/** A line for people: time of day, level, message, `key=value`; the stacks of errors follow on lines of their own. */
export function formatPretty({ time, level, message, fields }: LogEntry, colors: boolean): string {
  const paint = (color: Parameters<typeof styleText>[0], text: string) =>
    colors ? styleText(color, text, { validateStream: false }) : text;
  const words = [paint("gray", clock(time)), paint(COLORS[level], level.toUpperCase().padEnd(5)), message];
  const stacks: string[] = [];
  for (const [key, value] of Object.entries(fields)) {
    if (isError(value)) {
      words.push(`${paint("gray", `${key}=`)}${quote(`${value.name}: ${value.message}`)}`);
      stacks.push(...stackLines(value));
    } else {
      words.push(`${paint("gray", `${key}=`)}${quote(value)}`);
    }
  }
  return [words.join(" "), ...stacks.map((line) => paint("gray", line))].join("\n");
}

function clock(time: Date): string {
  const two = (number: number, width = 2) => String(number).padStart(width, "0");
  const parts = [time.getHours(), time.getMinutes(), time.getSeconds()].map((part) => two(part));
  return `${parts.join(":")}.${two(time.getMilliseconds(), 3)}`;
}

/** Text as it is if it is one plain word, else as JSON, so that a value cannot pass for another line or field. */
function quote(value: Plain): string {
  return typeof value === "string" && /^[\x21\x23-\x3c\x3e-\x7e]+$/.test(value) ? value : JSON.stringify(value);
}

interface PlainError {
  readonly [key: string]: Plain;
  readonly name: string;
  readonly message: string;
}

function isError(value: Plain | undefined): value is Plain & PlainError {
  return typeof value === "object" && value !== null && !Array.isArray(value) && "stack" in value && "message" in value;
}

function stackLines(error: PlainError): string[] {
  const { stack, cause } = error;
  const lines = typeof stack === "string" ? stack.split("\n").map((line) => `    ${printable(line.trim())}`) : [];
  return isError(cause) ? [...lines, "  caused by", ...stackLines(cause)] : lines;
}

function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is taken out.
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, " ");
}
