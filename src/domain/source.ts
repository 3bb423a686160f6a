/** Where the files of a model come from; see the contract's `Source`. Empty strings stand for "not said". */
export type Source = HuggingFaceSource | HttpSource | OciSource | S3Source | LocalSource | { readonly kind: "upload" };

/** The kinds of source, as they are named in the contract's oneof. */
export type SourceKind = Source["kind"];

export interface HuggingFaceSource {
  readonly kind: "huggingface";
  readonly repo: string;
  readonly revision: string;
  readonly allowPatterns: readonly string[];
  readonly ignorePatterns: readonly string[];
  readonly endpoint: string;
  /** The name of a configured credential. */
  readonly credential: string;
}

export interface HttpSource {
  readonly kind: "http";
  readonly files: readonly HttpFile[];
  /** The name of a configured credential. */
  readonly credential: string;
}

export interface HttpFile {
  readonly url: string;
  /** Its path in the version; always set, the default is filled in where the request is read. */
  readonly path: string;
  /** 64 lower-case hex digits, or empty. */
  readonly sha256: string;
  readonly mirrors: readonly string[];
}

export interface S3Source {
  readonly kind: "s3";
  /** An object, or a prefix if it ends with a slash. */
  readonly uri: string;
  readonly endpoint: string;
  readonly region: string;
  /** The name of a configured credential. */
  readonly credential: string;
}

export interface OciSource {
  readonly kind: "oci";
  /** Host, repository, and perhaps a tag or a digest. */
  readonly reference: string;
  /** The name of a configured credential. */
  readonly credential: string;
}

export interface LocalSource {
  readonly kind: "local";
  readonly path: string;
}

/** What a call proves to a source with; a token lives in memory only. */
export type Credential = { readonly name: string } | { readonly token: string };
