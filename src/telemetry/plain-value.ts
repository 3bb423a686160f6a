import { isSecretKey, redactText, redactValue } from "./redact.ts";

const MAX_DEPTH = 6;
const MAX_ITEMS = 100;
const MAX_TEXT = 8192;

/** A value of JSON. */
export type Plain = string | number | boolean | null | Plain[] | { [key: string]: Plain };

/**
 * Turns anything into JSON without secrets: errors with their causes, big integers and dates as text, bytes as their number;
 * what is very deep, long or circular is cut.
 */
export function toPlain(value: unknown, depth = 0, above: readonly object[] = []): Plain {
  switch (typeof value) {
    case "string":
      return redactText(value.length > MAX_TEXT ? `${value.slice(0, MAX_TEXT)}...` : value);
    case "number":
      return Number.isFinite(value) ? value : String(value);
    case "boolean":
      return value;
    case "object":
      return value === null ? null : objectToPlain(value, depth, above);
    case "undefined":
      return null;
    default:
      return String(value);
  }
}

function objectToPlain(value: object, depth: number, above: readonly object[]): Plain {
  if (above.includes(value)) return "[circular]";
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "invalid date" : value.toISOString();
  if (value instanceof URL) return redactText(value.href);
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (depth >= MAX_DEPTH) return "[too deep]";
  const below = [...above, value];
  if (value instanceof Error) return errorToPlain(value, depth, below);
  if (value instanceof Map) return entriesToPlain([...value], depth, below);
  if (Array.isArray(value) || value instanceof Set) {
    return [...value].slice(0, MAX_ITEMS).map((item) => toPlain(item, depth + 1, below));
  }
  return entriesToPlain(Object.entries(value), depth, below);
}

function entriesToPlain(entries: [unknown, unknown][], depth: number, above: readonly object[]): Plain {
  const plain: { [key: string]: Plain } = {};
  for (const [name, value] of entries.slice(0, MAX_ITEMS)) {
    const key = String(name);
    if (value === undefined || typeof value === "function") continue;
    plain[key] = toPlain(isSecretKey(key) ? redactValue(value) : value, depth + 1, above);
  }
  return plain;
}

/** An error by its stack, what it has beside (a code, a reason), its causes, and the errors that it sums up. */
function errorToPlain(error: Error, depth: number, above: readonly object[]): Plain {
  const { name, message, stack, cause, ...own } = error;
  const errors = error instanceof AggregateError ? error.errors : undefined;
  return entriesToPlain(
    Object.entries({
      name: error.name,
      message: error.message,
      ...own,
      errors,
      stack: error.stack,
      cause: error.cause,
    }),
    depth,
    above,
  );
}
