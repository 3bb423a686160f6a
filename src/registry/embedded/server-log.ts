import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import type { Logger } from "../../domain/logger.ts";

/** What the server said last. */
export interface ServerLog {
  /** The last lines, for the cause of an error. */
  tail(): string;
}

const LINE = /^(?<pid>\d+) (?<sqlstate>[0-9A-Z]{5}) (?<severity>[A-Z]+\d?): {2}(?<text>.*)$/;
const ADDITIONS: readonly string[] = ["DETAIL", "HINT", "QUERY", "CONTEXT", "STATEMENT", "LOCATION"];

/** Connections that end because the server stops or somebody ends them, and those that come while it starts or stops. */
const ORDINARY_ENDS: readonly string[] = ["57P01", "57P03"];

const TAIL_LINES = 20;

/**
 * Hands the server's messages on to the log: what it could not go on from as errors, all else as detail.
 *
 * Messages about statements may quote their text, and with it stored values, so they are never above debug.
 */
export function forwardServerLog(output: Readable, log: Logger): ServerLog {
  const tail: string[] = [];
  let failing = false;
  createInterface({ input: output, crlfDelay: Number.POSITIVE_INFINITY }).on("line", (line) => {
    tail.push(line);
    if (tail.length > TAIL_LINES) tail.shift();
    const { pid, sqlstate, severity, text } = LINE.exec(line)?.groups ?? {};
    if (severity === undefined || sqlstate === undefined) {
      log[failing ? "error" : "debug"]("database server output", { text: line.trim() });
      return;
    }
    if (!ADDITIONS.includes(severity)) {
      failing = (severity === "FATAL" || severity === "PANIC") && !ORDINARY_ENDS.includes(sqlstate);
    }
    const level = failing && severity !== "STATEMENT" ? "error" : "debug";
    log[level]("database server message", { severity, sqlstate, text, server_pid: Number(pid) });
  });
  return { tail: () => tail.join("\n") };
}
