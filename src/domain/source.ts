/** Where the files of a model come from; see the contract's `Source`. Empty strings stand for "not said". */
export type Source =
  | HuggingFaceSource
  | HttpSource
  | { readonly kind: "oci"; readonly reference: string; readonly credential: string }
  | {
      readonly kind: "s3";
      readonly uri: string;
      readonly endpoint: string;
      readonly region: string;
      readonly credential: string;
    }
  | LocalSource
  | { readonly kind: "upload" };

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

export interface LocalSource {
  readonly kind: "local";
  readonly path: string;
}

/** What a call proves to a source with; a token lives in memory only. */
export type Credential = { readonly name: string } | { readonly token: string };
