import { DomainError } from "../domain/errors.ts";

/** The error for `what`, which the contract has and the service does not do yet. */
export function notImplemented(what: string): DomainError {
  return new DomainError("NOT_IMPLEMENTED", `${what} is not implemented yet`);
}
