/** What the main thread tells a hash worker; a stream's messages are handled in order. */
export type HashCommand =
  | { readonly kind: "open"; readonly stream: number; readonly gitBlobSize?: number }
  | { readonly kind: "update"; readonly stream: number; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly kind: "digest"; readonly stream: number }
  | { readonly kind: "drop"; readonly stream: number };

/** The answer to an `update` or a `digest`. */
export type HashReply =
  | { readonly stream: number; readonly memory: ArrayBuffer }
  | { readonly stream: number; readonly digests: HashDigests };

/** The digests of one stream of bytes, as lower-case hex. */
export interface HashDigests {
  readonly sha256: string;
  /** Only if the stream was opened with a size for it. */
  readonly gitBlobSha1?: string;
}
