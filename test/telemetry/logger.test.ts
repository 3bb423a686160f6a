import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { DomainError } from "../../src/domain/errors.ts";
import { createLogger, type LoggerOptions } from "../../src/telemetry/logger.ts";

/** A log and the text that it wrote. */
function record(options: LoggerOptions & { isTTY?: boolean } = {}) {
  const { isTTY = false } = options;
  const stream = Object.assign(new PassThrough(), { isTTY });
  const log = createLogger({ ...options, stream });
  return { log, text: () => String(stream.read() ?? "") };
}

const json = (text: string) => JSON.parse(text) as Record<string, unknown>;

describe("JSON", () => {
  it("is one object a line, with the fields beside the message", () => {
    const { log, text } = record({ level: "debug" });
    log.debug("first", { number: 1, big: 2n ** 60n, at: new Date(0), bytes: Buffer.from("abc"), none: undefined });
    log.child({ part: "store" }).error("second", { message: "not the line's", list: [1, "a", null] });
    const [first = "", second = "", rest] = text().split("\n");
    expect(json(first)).toEqual({
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
      level: "debug",
      message: "first",
      number: 1,
      big: "1152921504606846976",
      at: "1970-01-01T00:00:00.000Z",
      bytes: "[3 bytes]",
    });
    expect(json(second)).toMatchObject({
      level: "error",
      message: "second",
      part: "store",
      message_: "not the line's",
      list: [1, "a", null],
    });
    expect(rest).toBe("");
  });

  it("has errors with their causes and what they carry", () => {
    const { log, text } = record();
    const cause = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" });
    log.error("failed", { error: new DomainError("DATABASE_UNAVAILABLE", "the database is away", { cause }) });
    expect(json(text())).toMatchObject({
      error: {
        name: "DomainError",
        reason: "DATABASE_UNAVAILABLE",
        message: "the database is away",
        stack: expect.stringContaining("logger.test.ts"),
        cause: { name: "Error", code: "ECONNREFUSED" },
      },
    });
  });

  it("survives what is circular, deep, long or odd", () => {
    const { log, text } = record();
    const circle: Record<string, unknown> = {
      map: new Map([["a", new Set([1])]]),
      nan: Number.NaN,
      symbol: Symbol("s"),
    };
    circle.self = circle;
    const loop = new Error("loop");
    loop.cause = loop;
    const deep = JSON.parse(`${'{"a":'.repeat(50)}1${"}".repeat(50)}`);
    log.info("odd", { circle, loop, deep, long: "x".repeat(100_000), many: Array(10_000).fill(0) });
    const line = text();
    expect(line.length).toBeLessThan(20_000);
    expect(json(line)).toMatchObject({
      circle: { map: { a: [1] }, nan: "NaN", symbol: "Symbol(s)", self: "[circular]" },
      loop: { message: "loop", cause: "[circular]" },
    });
  });

  it("leaves out what is below the level", () => {
    const { log, text } = record({ level: "warn" });
    log.info("no");
    log.debug("no");
    log.warn("yes");
    expect(text().trim().split("\n")).toHaveLength(1);
  });
});

describe("secrets", () => {
  it("are taken out by the name of their field", () => {
    const { log, text } = record();
    log.info("x", {
      session_token: "S3CRET",
      headers: { Authorization: "S3CRET", "set-cookie": ["S3CRET"] },
      source: { credential: { token: "S3CRET" } },
      password: "S3CRET",
      tokens: 5,
      hasPassword: true,
    });
    const line = text();
    expect(line).not.toContain("S3CRET");
    expect(json(line)).toMatchObject({ tokens: 5, hasPassword: true, session_token: "[redacted]" });
  });

  it("are taken out by their form, wherever they stand", () => {
    const { log, text } = record();
    const url = "https://cdn.example.com/a/model.bin?X-Amz-Signature=S3CRET&Expires=5";
    const error = new Error(`GET ${url} with Bearer S3CRET and hf_S3CRET failed\nparams: S3CRET,S3CRET`);
    log.info("reading postgres://user:S3CRET@db/models", { url, error, object: new URL(url), list: [`see ${url}.`] });
    const line = text();
    expect(line).not.toContain("S3CRET");
    expect(line).toContain("https://cdn.example.com/a/model.bin?[redacted]");
    expect(line).toContain("postgres://[redacted]@db/models");
  });
});

describe("pretty lines", () => {
  it("are for people, with the stack and its causes below", () => {
    const { log, text } = record({ format: "pretty" });
    log.warn("slow call", { method: "a.B/C", ms: 1.5, told: 'two words "quoted"', forged: "a\nERROR b=c" });
    log.error("failed", { error: new Error("outer", { cause: new Error("inner") }) });
    const [first = "", second, ...stack] = text().split("\n");
    expect(first).toMatch(/^\d\d:\d\d:\d\d\.\d{3} WARN {2}slow call method=a\.B\/C ms=1\.5 /);
    expect(first).toContain('told="two words \\"quoted\\"" forged="a\\nERROR b=c"');
    expect(second).toMatch(/ERROR failed error="Error: outer"$/);
    expect(stack.join("\n")).toMatch(/Error: outer\n[\s\S]+caused by\n\s+Error: inner/);
  });

  it("are the choice of `auto` on a terminal, in colors; elsewhere it is JSON", () => {
    const terminal = record({ isTTY: true });
    terminal.log.info("hello");
    expect(terminal.text()).toContain("\u001b[32mINFO ");
    const file = record();
    file.log.info("hello");
    expect(json(file.text())).toMatchObject({ message: "hello" });
  });
});
