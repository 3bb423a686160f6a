import { describe, expect, it } from "vitest";
import { parseResponseHead } from "../../src/lib/http/response-head.ts";

describe("a head of an answer", () => {
  it("is read with its names in lower case, the first of several", () => {
    const head = parseResponseHead(
      'HTTP/1.1 206 Partial Content\r\nETag: "a"\r\nContent-Length:  7 \r\nVia: x\r\nVia: y',
    );
    expect(head).toEqual({ status: 206, headers: { etag: '"a"', "content-length": "7", via: "x" }, keepAlive: true });
  });

  it.each([
    ["HTTP/1.1 200 OK", true],
    ["HTTP/1.1 200", true],
    ["HTTP/1.1 200 OK\r\nConnection: close", false],
    ["HTTP/1.0 200 OK", false],
    ["HTTP/1.0 200 OK\r\nConnection: Keep-Alive", true],
  ])("%j says whether the connection lives on", (text, keepAlive) => {
    expect(parseResponseHead(text).keepAlive).toBe(keepAlive);
  });

  it.each([
    ["HTTP/2 200", "status line"],
    ["HTTP/1.1 20 OK", "status line"],
    ["200 OK", "status line"],
    ["HTTP/1.1 200 OK\nX: y", "status line"],
    ["HTTP/1.1 200 OK\r\nX : y", "malformed"],
    ["HTTP/1.1 200 OK\r\n folded", "malformed"],
    ["HTTP/1.1 200 OK\r\nX: a\0b", "malformed"],
    ["HTTP/1.1 200 OK\r\nX: a\nY: b", "malformed"],
    ["HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2", "two headers 'content-length'"],
    ["HTTP/1.1 206 OK\r\nContent-Range: bytes 0-1/2\r\nContent-Range: bytes 0-1/3", "two headers 'content-range'"],
  ])("%j is refused", (text, words) => {
    expect(() => parseResponseHead(text)).toThrow(words);
  });
});
