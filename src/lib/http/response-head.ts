import type { Headers } from "./validator.ts";

/** The status line and the headers of an HTTP/1.x answer. */
export interface ResponseHead {
  readonly status: number;
  readonly headers: Headers;
  /** Whether the connection can carry another answer after this one. */
  readonly keepAlive: boolean;
}

/** The longest head that is read, in bytes. */
export const MAX_HEAD_BYTES = 64 * 1024;

const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?$/;
const HEADER = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/;
/** Of these a second one that differs leaves open where the answer ends, or what it is a part of. */
const UNIQUE: ReadonlySet<string> = new Set([
  "content-length",
  "content-range",
  "transfer-encoding",
  "content-encoding",
]);

/**
 * Reads the head of an answer (RFC 9112), `text` being all before the empty line. Strict: whatever could be read in two
 * ways is an error, whose message says what.
 *
 * @throws Error
 */
export function parseResponseHead(text: string): ResponseHead {
  const [statusLine = "", ...lines] = text.split("\r\n");
  const [, minor, status] = STATUS_LINE.exec(statusLine) ?? [];
  if (status === undefined) throw new Error("the answer does not begin with an HTTP/1.1 status line");
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const [, spelled, value] = HEADER.exec(line) ?? [];
    if (spelled === undefined || value === undefined || /[\0\n\r]/.test(line)) throw new Error("a header is malformed");
    const name = spelled.toLowerCase();
    const former = headers[name];
    if (former === undefined) headers[name] = value;
    else if (UNIQUE.has(name) && former !== value) throw new Error(`there are two headers '${name}'`);
  }
  const connection = (headers.connection ?? "").toLowerCase();
  const keepAlive = minor === "1" ? !connection.includes("close") : connection.includes("keep-alive");
  return { status: Number(status), headers, keepAlive };
}
