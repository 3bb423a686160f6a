import type { WireTarget } from "../../../domain/ports/sources.ts";
import type { Headers } from "../../../lib/http/validator.ts";
import { systemCode } from "../../../lib/system-error.ts";
import type { JournalHeader } from "../parts/journal.ts";
import type { KeptBytes } from "../parts/kept.ts";
import type { HashDigests } from "./hash-messages.ts";

/** A part file that a lane is to fill. */
export interface LaneFileOptions {
  readonly dataPath: string;
  readonly journalPath: string;
  readonly header: JournalHeader;
  /** Bytes of the whole file; absent if only its end will tell. */
  readonly size?: number;
  readonly kept: KeptBytes;
  /** Asks for git's SHA-1 of a blob of that size too. */
  readonly gitBlobSize?: number;
  /** Whether the finished bytes can be checked: else all must come from one object that a validator pins. */
  readonly checked: boolean;
  /** A connection that brings nothing for so long is given up, in milliseconds. */
  readonly stallMs: number;
}

/** What the main thread tells a lane about one of its files. */
export type LaneCommand =
  | { readonly kind: "open"; readonly options: LaneFileOptions }
  /** Brings bytes by a new connection. */
  | { readonly kind: "connect"; readonly connection: number; readonly target: WireTarget }
  /** Ends a connection after what it is bringing. */
  | { readonly kind: "retire"; readonly connection: number }
  /** Ends all connections at once. */
  | { readonly kind: "dismiss" }
  /** So many more bytes may be taken in. */
  | { readonly kind: "grant"; readonly bytes: number }
  /** Throws all bytes away; `validator` pins those that will come. */
  | { readonly kind: "restart"; readonly header: JournalHeader; readonly size?: number }
  /** Asks which bytes are missing first, to be fed. */
  | { readonly kind: "gap" }
  | { readonly kind: "feed"; readonly bytes: Uint8Array<ArrayBuffer> }
  /** No more will be fed; `whole` says that the file ends here. */
  | { readonly kind: "fed"; readonly whole: boolean }
  | { readonly kind: "describe"; readonly header: JournalHeader; readonly size?: number }
  | { readonly kind: "seal" }
  | { readonly kind: "close" };

/** A command on its way. */
export interface LaneRequest {
  readonly file: number;
  /** Set if an answer is awaited. */
  readonly request?: number;
  readonly command: LaneCommand;
}

/** Bytes that are missing: from `start` up to, not including, `end`, or to wherever the file ends. */
export interface Gap {
  readonly start: number;
  readonly end?: number;
}

/** How a connection ended. */
export type ConnectionEnd =
  /** There is nothing left for it to bring, or it was told to end. */
  | { readonly why: "done" }
  /** The network, TLS or the other side broke it off. */
  | { readonly why: "fault"; readonly code: string; readonly message: string }
  /** The other side closed it in the middle of an answer. */
  | { readonly why: "short"; readonly received: number; readonly expected: number }
  | { readonly why: "stalled" }
  /** It was much slower than the others, and held them up. */
  | { readonly why: "slow" }
  /** An answer that brings no bytes. */
  | { readonly why: "answer"; readonly status: number; readonly headers: Headers }
  /** The other side does not know ranges, or sends in a way that a bare connection does not read. */
  | { readonly why: "unranged" | "unsupported" }
  /** It is another object than before, or nothing shows that it is the same. */
  | { readonly why: "changed" | "unpinned" }
  /** It does not match what was announced. */
  | { readonly why: "mismatch"; readonly message: string };

/** An error that crosses from one thread to another, which only messages do whole. */
export interface LaneFault {
  readonly message: string;
  /** The system's code, if it was one of the system's errors. */
  readonly code?: string;
}

/** An error as it can cross. */
export function faultOf(error: unknown): LaneFault {
  const message = error instanceof Error ? error.message : String(error);
  return { message, code: systemCode(error) };
}

/** What a lane tells of one of its files. */
export type LaneEvent =
  | { readonly kind: "answer"; readonly request: number; readonly value?: unknown; readonly error?: LaneFault }
  /** So many more bytes came, while the lane's thread was busy for this share of the time. */
  | { readonly kind: "received"; readonly bytes: number; readonly busy: number }
  /** From now on all bytes must come from the object that this validator pins. */
  | { readonly kind: "pinned"; readonly validator: string }
  | { readonly kind: "ended"; readonly connection: number; readonly received: number; readonly end: ConnectionEnd }
  /** All bytes are written and hashed. */
  | { readonly kind: "complete"; readonly size: number; readonly digests: HashDigests }
  | { readonly kind: "failed"; readonly error: LaneFault };

/** An event on its way. */
export interface LaneMessage {
  readonly file: number;
  readonly event: LaneEvent;
}
