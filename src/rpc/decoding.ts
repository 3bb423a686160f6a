import { base64Decode } from "@bufbuild/protobuf/wire";
import { Code, ConnectError } from "@connectrpc/connect";
import { invalidField } from "../domain/errors.ts";

/**
 * Gives an error of Connect's decoder the code of what it is: a message in protobuf's binary form that cannot be decoded is
 * the client's fault, and Connect calls it an internal one. Other values are left alone.
 */
export function blameClient(error: unknown): void {
  if (!(error instanceof ConnectError) || error.code !== Code.Internal) return;
  // The error is on its way already, so that it is changed and not replaced.
  if (error.rawMessage.startsWith("parse binary: ")) Object.assign(error, { code: Code.InvalidArgument });
}

/**
 * Looks whether the message in the query of a Connect GET can be read at all, which Connect takes for granted.
 *
 * @throws DomainError FIELD_INVALID
 */
export function checkQuery(url: string): void {
  const { searchParams } = new URL(url);
  if (searchParams.get("base64") !== "1") return;
  try {
    base64Decode(searchParams.get("message") ?? "");
  } catch {
    throw invalidField("message", "must be base64, as the query says");
  }
}
