import type { Filter } from "./filter.ts";

/** The field that a list is ordered by, and which way. */
export interface Order<Field extends string> {
  readonly field: Field;
  readonly descending: boolean;
}

/** Asks for a page of a list. */
export interface PageRequest {
  /** 1 to 1000. */
  readonly size: number;
  /** From the page before; empty for the first one. PAGE_TOKEN_INVALID if it is not of the same query. */
  readonly token: string;
}

/** A page of a list; `totalSize` and `sequence` were taken with the first page. */
export interface Page<Item> {
  readonly items: readonly Item[];
  /** Empty after the last page. */
  readonly nextToken: string;
  readonly totalSize: number;
  /** The event sequence to watch on from. */
  readonly sequence: number;
}

/** A page request with a filter. */
export interface ListRequest extends PageRequest {
  readonly filter?: Filter;
}
