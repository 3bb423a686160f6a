/** What a lane tells its hashing thread; messages are handled in order. */
export type HashCommand =
  | { readonly kind: "memory"; readonly memory: SharedArrayBuffer }
  | { readonly kind: "open"; readonly stream: number; readonly gitBlobSize?: number }
  /** Hashes bytes of a slab, which is not changed until the answer. */
  | { readonly kind: "slab"; readonly stream: number; readonly slab: number; readonly length: number }
  /** Hashes bytes of an open file. */
  | {
      readonly kind: "read";
      readonly stream: number;
      readonly fd: number;
      readonly position: number;
      readonly length: number;
    }
  | { readonly kind: "digest"; readonly stream: number }
  | { readonly kind: "drop"; readonly stream: number };

/** The answer to a `slab`, a `read` or a `digest`. */
export type HashReply = { readonly digests?: HashDigests; readonly error?: unknown };

/** The digests of one stream of bytes, as lower-case hex. */
export interface HashDigests {
  readonly sha256: string;
  /** Only if the stream was opened with a size for it. */
  readonly gitBlobSha1?: string;
}
