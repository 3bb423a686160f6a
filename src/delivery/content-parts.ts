import type { ByteRange } from "../domain/ports/blob-store.ts";

/** Which bytes a Range asks for: all of them if it is absent, malformed or more than one range; none that there are. */
export type AskedRange = ByteRange | "all" | "unsatisfiable";

/** Reads a Range over `size` bytes (RFC 9110, 14.2): `bytes=a-b`, `bytes=a-` or `bytes=-n`. */
export function readRange(header: string | undefined, size: number): AskedRange {
  const [, first = "", last = ""] = /^bytes=[ \t]*(\d{0,15})-(\d{0,15})[ \t]*$/i.exec(header ?? "") ?? [];
  if (first === "" && last === "") return "all";
  if (first === "") {
    const start = Math.max(0, size - Number(last));
    return start < size ? { start, end: size } : "unsatisfiable";
  }
  const start = Number(first);
  if (last !== "" && Number(last) < start) return "all";
  if (start >= size) return "unsatisfiable";
  return { start, end: last === "" ? size : Math.min(size, Number(last) + 1) };
}

/** Whether an If-None-Match names an etag; weakly, as that header compares. */
export function namesEtag(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false;
  return header.split(",").some((each) => {
    const tag = each.trim().replace(/^W\//, "");
    return tag === "*" || tag === etag;
  });
}
