import { type DescMessage, type JsonObject, type MessageShape, toJson } from "@bufbuild/protobuf";

/** Writes to the standard output: what the command was asked for. */
export function print(text: string): void {
  process.stdout.write(text.endsWith("\n") ? text : `${text}\n`);
}

/** Writes to the standard error output: what goes on meanwhile. */
export function tell(text: string): void {
  process.stderr.write(text.endsWith("\n") ? text : `${text}\n`);
}

/** A message in the contract's JSON, with the fields that are zero or empty. */
export function messageJson<Schema extends DescMessage>(schema: Schema, message: MessageShape<Schema>): JsonObject {
  return toJson(schema, message, { alwaysEmitImplicit: true }) as JsonObject;
}

/** Prints one JSON document: indented for a person, on one line for a pipe. */
export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, process.stdout.isTTY ? 2 : 0));
}
