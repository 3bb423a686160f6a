import { storableText } from "../lib/storable-text.ts";
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
    // Messages may quote what a source said.
    const metadata = Object.entries(error.metadata).map(([key, value]) => [key, storableText(value)]);
    return { reason: error.reason, message: storableText(error.message), metadata: Object.fromEntries(metadata) };
  }
  return { reason: "INTERNAL", message: "internal error", metadata: {} };
}

/** The error that a kept failure stands for. */
export function errorOfFailure({ reason, message, metadata }: Failure): DomainError {
  return new DomainError(reason, message, { metadata });
}
