import { type DescMessage, type JsonObject, type MessageShape, toJson } from "@bufbuild/protobuf";

/** Writes to the standard output: what the command was asked for. */
export function print(text: string): void {
  process.stdout.write(lines(text));
}

/** Writes to the standard error output: what goes on meanwhile. */
export function tell(text: string): void {
  process.stderr.write(lines(text));
}

/** Texts come from others: of control characters, which could move the cursor, line breaks and tabs alone get through. */
function lines(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
  const safe = text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "\ufffd");
  return safe.endsWith("\n") ? safe : `${safe}\n`;
}

/** A message in the contract's JSON, with the fields that are zero or empty. */
export function messageJson<Schema extends DescMessage>(schema: Schema, message: MessageShape<Schema>): JsonObject {
  return toJson(schema, message, { alwaysEmitImplicit: true }) as JsonObject;
}

/** A JSON document on one line, or indented, without a control character that a terminal would heed. */
export function jsonText(value: unknown, indent = 0): string {
  const escaped = (character: string) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(value, null, indent).replace(/[\u007f-\u009f]/g, escaped);
}

/** Prints one JSON document: indented for a person, on one line for a pipe. */
export function printJson(value: unknown): void {
  print(jsonText(value, process.stdout.isTTY ? 2 : 0));
}
