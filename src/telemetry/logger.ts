import winston from "winston";
import type { Logger } from "../domain/logger.ts";
import { formatJson, formatPretty, type LogEntry } from "./format.ts";
import { type Plain, toPlain } from "./plain-value.ts";
import { redactText } from "./redact.ts";

/** From which level on lines are written. */
export type LogLevel = "debug" | "info" | "warn" | "error";

/** How lines look: `auto` is `pretty` on a terminal and `json` elsewhere. */
export type LogFormat = "auto" | "pretty" | "json";

export interface LoggerOptions {
  /** Default `info`. */
  readonly level?: LogLevel;
  /** Default `auto`. */
  readonly format?: LogFormat;
  /** Default standard error, so that standard output is free for results. */
  readonly stream?: NodeJS.WritableStream & { readonly isTTY?: boolean };
}

/** Makes the log of a process. Secrets are taken out of fields by their name, and out of all text by their form. */
export function createLogger(options: LoggerOptions = {}): Logger {
  const { level = "info", format = "auto", stream = process.stderr } = options;
  const pretty = format === "pretty" || (format === "auto" && stream.isTTY === true);
  const colors = stream.isTTY === true && process.env.NO_COLOR === undefined;
  const print = (entry: LogEntry) => (pretty ? formatPretty(entry, colors) : formatJson(entry));
  const sink = winston.createLogger({
    level,
    levels: { error: 0, warn: 1, info: 2, debug: 3 },
    format: winston.format.printf(({ level: entryLevel, message, time, fields }) =>
      print({ level: entryLevel, message, time, fields } as LogEntry),
    ),
    transports: [new winston.transports.Stream({ stream, eol: "\n" })],
  });
  return withFields(sink, {});
}

function withFields(sink: winston.Logger, common: Record<string, unknown>): Logger {
  const write = (level: LogLevel) => (message: string, fields?: Record<string, unknown>) => {
    if (!sink.isLevelEnabled(level)) return;
    const plain: Plain = toPlain({ ...common, ...fields });
    sink.log({ level, message: redactText(message), time: new Date(), fields: plain });
  };
  return {
    debug: write("debug"),
    info: write("info"),
    warn: write("warn"),
    error: write("error"),
    child: (fields) => withFields(sink, { ...common, ...fields }),
  };
}
