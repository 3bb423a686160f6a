import type { Digest } from "./digest.ts";
import type { Source } from "./source.ts";
import type { Transitions } from "./transitions.ts";

export const MODEL_TYPES = [
  "LLM",
  "EMBEDDING",
  "RERANKER",
  "VISION",
  "SPEECH_TO_TEXT",
  "TEXT_TO_SPEECH",
  "IMAGE_GENERATION",
  "ADAPTER",
  "OTHER",
] as const;
/** What a model does. */
export type ModelType = (typeof MODEL_TYPES)[number];

export const MODEL_STATUSES = ["REGISTERED", "DOWNLOADING", "AVAILABLE", "FAILED", "DELETING"] as const;
/** How far a model's first version is. */
export type ModelStatus = (typeof MODEL_STATUSES)[number];

/** A model is AVAILABLE while it has a version; without one its downloads decide. */
export const MODEL_TRANSITIONS: Transitions<ModelStatus> = {
  REGISTERED: ["DOWNLOADING", "AVAILABLE", "DELETING"],
  DOWNLOADING: ["REGISTERED", "AVAILABLE", "FAILED", "DELETING"],
  AVAILABLE: ["REGISTERED", "DOWNLOADING", "DELETING"],
  FAILED: ["DOWNLOADING", "AVAILABLE", "DELETING"],
  DELETING: [],
};

/** Words to find a thing by. */
export type Labels = Readonly<Record<string, string>>;

/** A model: a name, a type, and the source that its files come from. */
export interface Model {
  readonly id: string;
  readonly type: ModelType;
  readonly displayName: string;
  readonly description: string;
  readonly labels: Labels;
  /** Only of an ADAPTER; else empty. */
  readonly baseModelId: string;
  readonly source: Source;
  readonly status: ModelStatus;
  readonly latestVersion?: number;
  readonly versionCount: number;
  /** Sorted by name. */
  readonly aliases: readonly Alias[];
  readonly createTime: Date;
  readonly updateTime: Date;
  readonly etag: string;
}

/** What a caller says of a new model. */
export type NewModel = Pick<Model, "id" | "type" | "displayName" | "description" | "labels" | "baseModelId" | "source">;

/** What can change of a model; absent stays as it is. */
export type ModelChanges = Partial<Pick<Model, "displayName" | "description" | "labels" | "source">>;

/** A movable name for one version of a model. */
export interface Alias {
  readonly modelId: string;
  readonly alias: string;
  readonly version: number;
  readonly updateTime: Date;
}

/** One verified file of a version. */
export interface VersionFile {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  readonly digest: Digest;
}

/** What the card of a model at its source says. */
export interface SourceCard {
  readonly baseModels?: readonly string[];
  readonly tags?: readonly string[];
  /** Whether files are only for those who accepted conditions. */
  readonly gated?: boolean;
}

/** What the files of a version and its card say; see the contract's `VersionMetadata`. */
export interface VersionMetadata extends SourceCard {
  readonly format?: string;
  readonly architecture?: string;
  readonly parameterCount?: number;
  readonly quantization?: string;
  readonly precision?: string;
  readonly contextLength?: number;
  readonly estimatedMemoryBytes?: number;
  readonly unsafeFiles?: readonly string[];
  readonly adapterRank?: number;
  readonly hasTokenizer?: boolean;
  readonly hasChatTemplate?: boolean;
  readonly onnxOpset?: number;
  readonly error?: string;
}

/** An immutable list of verified files of one model. */
export interface Version {
  readonly modelId: string;
  readonly version: number;
  readonly manifestDigest: Digest;
  /** Empty where the source has none. */
  readonly resolvedRevision: string;
  readonly totalBytes: number;
  readonly fileCount: number;
  /** Sorted by path; absent in lists. */
  readonly files?: readonly VersionFile[];
  readonly metadata: VersionMetadata;
  readonly license: string;
  readonly pinned: boolean;
  readonly labels: Labels;
  readonly createTime: Date;
  readonly updateTime: Date;
  readonly etag: string;
  /** Paths whose bytes the store lost, sorted. */
  readonly damagedFiles: readonly string[];
  /** Exact to an hour. */
  readonly lastUsedTime: Date;
}

/** What a version is to be made of. */
export type NewVersion = Pick<Version, "resolvedRevision" | "license" | "labels" | "metadata"> & {
  readonly files: readonly VersionFile[];
};

/** What can change of a version; absent stays as it is. */
export type VersionChanges = Partial<Pick<Version, "pinned" | "labels">>;
