import type { Digest } from "../digest.ts";
import { DomainError, type DomainErrorOptions } from "../errors.ts";
import type { SourceCard } from "../model.ts";
import type { Credential, Source, SourceKind } from "../source.ts";

/** What a download asks of a source beyond what the source says itself. */
export interface ResolveRequest {
  /** Replaces the source's own revision unless empty. */
  readonly revision: string;
  /** Replace the source's own patterns unless both are empty. */
  readonly allowPatterns: readonly string[];
  readonly ignorePatterns: readonly string[];
  /** Replaces the source's own credential. */
  readonly credential?: Credential;
  readonly signal: AbortSignal;
}

/** The files of a source at one immutable revision. */
export interface ResolvedSource {
  /** The commit, or whatever pins it; empty where the source has none. */
  readonly revision: string;
  /** As the source names it; empty if unknown. */
  readonly license: string;
  /** What else its card says; absent where it has none. */
  readonly card?: SourceCard;
  /** At least one; paths are checked and distinct. */
  readonly files: readonly SourceFile[];
}

/** How files are packed into one. */
export type ArchiveFormat = "tar" | "tar+gzip" | "tar+zstd";

/** How an archive is unpacked. */
export interface Unpacking {
  readonly format: ArchiveFormat;
  /** Whether the version is to have the file of this path in it; absent for all of them. */
  readonly takes?: (path: string) => boolean;
}

/** One file of a source. */
export interface SourceFile {
  readonly path: string;
  /** Bytes; absent if the source did not say. */
  readonly size?: number;
  /** The expected digest; absent if the source does not know it. */
  readonly digest?: Digest;
  /** The expected SHA-1 of git's blob object (`blob <size>\0` and the bytes), as 40 hex digits. */
  readonly gitBlobSha1?: string;
  /**
   * What these bytes are called before their digest is known: the same for the same file at the same place and revision.
   * Parts of files without a digest are kept under it.
   */
  readonly identity: string;
  /** Set if the version is to have, in the file's place, the files that are packed in it. */
  readonly unpack?: Unpacking;
  /** Where the bytes can be read, the preferred place first, then its mirrors. */
  readonly origins: readonly FileOrigin[];
}

/** Asks for the bytes of a file from `offset` to its end. */
export interface OpenRequest {
  readonly offset: number;
  /** What an earlier answer was pinned by; if the object is another one now, bytes from 0 are answered. */
  readonly validator?: string;
  readonly signal: AbortSignal;
}

/** Bytes of a file. */
export interface OpenedRange {
  /** Where they begin: the offset that was asked for, or 0 if the source cannot or must not continue. */
  readonly offset: number;
  /** The size of the whole file; absent if the source does not say it. */
  readonly size?: number;
  /** Pins the object (a strong etag or a date); absent if the source has nothing of the kind. */
  readonly validator?: string;
  /** The bytes. Ends early or with an error if the source breaks off; its errors are {@link SourceUnavailable} where a retry may help. */
  readonly body: AsyncIterable<Uint8Array>;
}

/** What a bare connection needs to ask for ranges of a file by HTTP/1.1. Plain data, fit for another thread. */
export interface WireTarget {
  /** A name or a literal address; what a certificate must be for. */
  readonly host: string;
  /** The IP addresses to connect to, which were checked: one after the other until one answers. At least one. */
  readonly addresses: readonly string[];
  readonly port: number;
  readonly tls: boolean;
  /** The path and the query. */
  readonly path: string;
  /** What every request carries: `host`, and perhaps a secret. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Why a bare connection brought no answer. */
export interface WireFault {
  /** The system's or TLS's code of the fault, such as ECONNRESET. */
  readonly code: string;
  /** For the log. */
  readonly message: string;
}

/** How bare connections reach the bytes of an origin, from its own address on through its redirects. */
export interface Route {
  readonly target: WireTarget;
  /** Whether it was reached by a redirect: what is refused here may be granted once the origin is asked anew. */
  readonly redirected: boolean;
  /** Where an answer with this `location` leads; ADDRESS_NOT_ALLOWED, SOURCE_UNAVAILABLE for one that leads nowhere. */
  follow(location: string, signal: AbortSignal): Promise<Route>;
  /** What an answer means that brings no bytes. */
  refusal(status: number, headers: Readonly<Record<string, string | undefined>>): DomainError;
  /** What a fault on the way means. */
  fault(fault: WireFault): SourceUnavailable;
}

/** A place that a file can be read from. */
export interface FileOrigin {
  /** For limits and for the log: host and port, or `local`. */
  readonly host: string;
  /**
   * SourceUnavailable where a retry may help (network, 429, 5xx); SOURCE_FORBIDDEN, SOURCE_FILE_NOT_FOUND,
   * ADDRESS_NOT_ALLOWED, PATH_NOT_ALLOWED where none does.
   */
  open(request: OpenRequest): Promise<OpenedRange>;
  /**
   * How bare connections can read ranges of it; absent where only {@link FileOrigin.open} works. Its errors are those of `open`
   * that need no answer.
   */
  route?(signal: AbortSignal): Promise<Route>;
}

/** A source that may answer if it is asked again. */
export class SourceUnavailable extends DomainError {
  /** How long the source asked to be left alone, in milliseconds. */
  readonly retryAfterMs?: number;

  constructor(message: string, options: DomainErrorOptions & { retryAfterMs?: number } = {}) {
    super("SOURCE_UNAVAILABLE", message, options);
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** All sources behind one door. */
export interface Sources {
  /** STATE_INVALID for `upload`. */
  assertDownloadable(kind: SourceKind): void;
  /** Pins the revision and lists its files; the errors are those of {@link FileOrigin.open} and SOURCE_NOT_FOUND, SOURCE_REVISION_NOT_FOUND. */
  resolve(source: Source, request: ResolveRequest): Promise<ResolvedSource>;
  /** Ends all connections. */
  close(): Promise<void>;
}
