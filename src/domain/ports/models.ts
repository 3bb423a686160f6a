import type { Alias, Model, ModelChanges, NewModel, NewVersion, Version, VersionChanges } from "../model.ts";
import type { ModelRef } from "../model-ref.ts";
import type { ListRequest, Order, Page, PageRequest } from "../page.ts";

/** Fields that a list of models can be ordered by. */
export const MODEL_ORDER_FIELDS = ["id", "create_time", "update_time"] as const;
export type ModelOrder = Order<(typeof MODEL_ORDER_FIELDS)[number]>;

/** The registry of models, versions and aliases. Every change is one transaction that also writes its event. */
export interface Models {
  /**
   * Registers a model. The same `requestId` with the same model gets the first answer again for a day; with another one
   * it is FIELD_INVALID. MODEL_EXISTS if the id is taken, ignoring case; MODEL_NOT_FOUND if the base model is missing.
   */
  create(model: NewModel, options: { requestId?: string; validateOnly?: boolean }): Promise<Model>;
  /** MODEL_NOT_FOUND if there is none. Ids are matched ignoring case here and everywhere. */
  get(modelId: string): Promise<Model>;
  /** A model, and with its files the version that is referred to or the newest, if there is one. */
  resolve(ref: ModelRef): Promise<{ model: Model; version?: Version }>;
  list(request: ListRequest & { order: ModelOrder }): Promise<Page<Model>>;
  /** ETAG_MISMATCH if `etag` is not empty and stale; OPERATION_CONFLICT if the source changes during a live download. */
  update(modelId: string, changes: ModelChanges, etag: string): Promise<Model>;
  /** RESOURCE_IN_USE while a live download or an assignment needs it, unless `force` cancels and removes those. */
  delete(modelId: string, options: { etag: string; force: boolean }): Promise<void>;

  /** The versions of a model without their files, newest first. */
  listVersions(modelId: string, request: PageRequest): Promise<Page<Version>>;
  /** The version that is referred to, with its files; VERSION_NOT_FOUND or ALIAS_NOT_FOUND if there is none. */
  getVersion(ref: ModelRef): Promise<Version>;
  /**
   * Makes a version of blobs that are in the store, or finds the one of the same files, in one transaction that holds the
   * blobs against every collector. BLOB_NOT_FOUND names the first few that are not there.
   */
  createVersion(modelId: string, version: NewVersion): Promise<Version>;
  updateVersion(modelId: string, version: number, changes: VersionChanges, etag: string): Promise<Version>;
  /** RESOURCE_IN_USE while an alias or an assignment names it. */
  deleteVersion(modelId: string, version: number, etag: string): Promise<void>;
  setAlias(modelId: string, alias: string, version: number): Promise<Alias>;
  deleteAlias(modelId: string, alias: string): Promise<void>;
}
