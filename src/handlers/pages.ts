import { invalidField } from "../domain/errors.ts";
import type { Order, Page, PageRequest } from "../domain/page.ts";

const DEFAULT_PAGE_SIZE = 50;
const MAX_PAGE_SIZE = 1000;

/** Reads the page that a list request asks for. */
export function pageFromMessage(request: { readonly pageSize: number; readonly pageToken: string }): PageRequest {
  const size = Math.min(request.pageSize || DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE);
  return { size, token: request.pageToken };
}

/** The fields that every list answer has. */
export function pageToMessage({ nextToken, totalSize, sequence }: Page<unknown>) {
  return { nextPageToken: nextToken, totalSize: BigInt(totalSize), sequence: BigInt(sequence) };
}

/** Reads an `order_by` of one field; by default the first of `fields`, ascending. */
export function orderFromMessage<Field extends string>(
  orderBy: string,
  fields: readonly [Field, ...Field[]],
): Order<Field> {
  const [name = "", direction = "asc", ...rest] = orderBy.trim().split(/\s+/);
  const field = name === "" ? fields[0] : fields.find((known) => known === name);
  if (!field || rest.length > 0 || (direction !== "asc" && direction !== "desc")) {
    throw invalidField("order_by", `must be one of ${fields.join(", ")}, perhaps followed by 'desc'`);
  }
  return { field, descending: direction === "desc" };
}
