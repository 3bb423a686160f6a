/**
 * Where the service's parts write what they have to say.
 *
 * A message is a fixed sentence; what varies goes into `fields`, so that logs can be searched. Secrets and signed URLs
 * belong in neither. An `Error` under the field `error` is written with its stack and its causes.
 */
export interface Logger {
  /** Detail for whoever looks for a fault; off by default. */
  debug(message: string, fields?: Record<string, unknown>): void;
  /** What an operator wants to see of a healthy service. */
  info(message: string, fields?: Record<string, unknown>): void;
  /** Something is wrong and the service copes with it. */
  warn(message: string, fields?: Record<string, unknown>): void;
  /** Something failed and an operator should look. */
  error(message: string, fields?: Record<string, unknown>): void;
  /** The same log, with `fields` added to every line. */
  child(fields: Record<string, unknown>): Logger;
}
