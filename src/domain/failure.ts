import { DomainError, isDomainError, type Reason } from "./errors.ts";

/** Why a job failed, in the form that is kept and told. */
export interface Failure {
  readonly reason: Reason;
  readonly message: string;
  readonly metadata: Readonly<Record<string, string>>;
}

/** The failure that `error` stands for; what is not one of ours becomes INTERNAL without its cause. */
export function failureOf(error: unknown): Failure {
  if (isDomainError(error)) {
    const metadata = Object.entries(error.metadata).map(([key, value]) => [key, storable(value)]);
    return { reason: error.reason, message: storable(error.message), metadata: Object.fromEntries(metadata) };
  }
  return { reason: "INTERNAL", message: "internal error", metadata: {} };
}

/** Messages may quote what a source said; not every text of JavaScript can be kept by a database. */
function storable(text: string): string {
  return text.toWellFormed().replaceAll("\0", "\ufffd");
}

/** The error that a kept failure stands for. */
export function errorOfFailure({ reason, message, metadata }: Failure): DomainError {
  return new DomainError(reason, message, { metadata });
}
