import type { z } from "zod";
import { humanBytes } from "../lib/bytes.ts";
import type { BlobFile } from "./blob-file.ts";
import { MetadataProblem } from "./problem.ts";

/** More than the JSON of any real model takes; parsing it holds up the service for a moment, so it must have an end. */
export const MAX_JSON_BYTES = 16 << 20;

/** Reads a small JSON file and holds it to a schema. */
export async function readJson<Schema extends z.ZodType>(file: BlobFile, schema: Schema): Promise<z.infer<Schema>> {
  if (file.size > MAX_JSON_BYTES) {
    throw new MetadataProblem(
      `is ${humanBytes(file.size)} of JSON, of which at most ${humanBytes(MAX_JSON_BYTES)} are read`,
    );
  }
  const result = schema.safeParse(parseJson(await file.read(0, file.size)));
  if (result.success) return result.data;
  throw new MetadataProblem("is not what a file of this name holds");
}

/** Parses UTF-8 bytes; the parser's own words would quote them. */
export function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new MetadataProblem("is not valid JSON");
  }
}
