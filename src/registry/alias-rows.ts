import { and, eq, sql } from "drizzle-orm";
import { DomainError } from "../domain/errors.ts";
import { aliases } from "./schema/models.ts";

/** ALIAS_NOT_FOUND. */
export function aliasNotFound(modelId: string, alias: string): DomainError {
  return new DomainError("ALIAS_NOT_FOUND", `model '${modelId}' has no alias '${alias}'`, {
    metadata: { model_id: modelId, alias },
  });
}

/** The condition that a row is this alias of a model, ignoring case. */
export function isAlias(modelId: string, alias: string) {
  return and(eq(aliases.modelId, modelId), eq(sql`lower(${aliases.alias})`, alias.toLowerCase()));
}
