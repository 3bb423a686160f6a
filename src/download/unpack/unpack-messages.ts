import type { Digest } from "../../domain/digest.ts";
import type { ArchiveFormat } from "../../domain/ports/sources.ts";

/** What an unpacking thread begins with. */
export interface UnpackData {
  /** The archive, a local file. */
  readonly path: string;
  /** Its size in bytes. */
  readonly size: number;
  readonly format: ArchiveFormat;
}

/** An entry as its header says. */
export interface ArchiveEntry {
  readonly name: string;
  /** As tar calls it; `unknown` for what it does not know, `sparse` for a file with holes. */
  readonly type: string;
  /** Bytes of its content. */
  readonly size: number;
}

/** What is to become of an entry: written to an empty file that is there, or passed over. */
export type EntryOrder = { readonly dataPath: string } | { readonly skip: true };

/** What an unpacking thread tells. After `entry` it waits for an order; an entry that was written is synced. */
export type UnpackNews =
  | { readonly kind: "entry"; readonly entry: ArchiveEntry }
  | { readonly kind: "written"; readonly digest: Digest }
  | { readonly kind: "end" }
  /** The archive breaks a rule. */
  | { readonly kind: "broken"; readonly rule: string }
  /** The system is, with the code of its error if it has one. */
  | { readonly kind: "fault"; readonly code?: string; readonly message: string };
