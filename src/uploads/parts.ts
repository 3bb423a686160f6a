import type { Digest } from "../domain/digest.ts";
import { FileHasher } from "../lib/hashing/file-hasher.ts";
import { Part } from "./part.ts";
import type { PartFiles } from "./part-files.ts";

/** A part whose next piece does not come for so long is closed; to go on, it is read once more. */
const IDLE_MS = 60_000;
/** So many stay open between their pieces. */
const MOST_IDLE = 64;

/** The parts of blobs that are uploaded, open for as long as pieces come soon one after the other. */
export class Parts {
  readonly #files: PartFiles;
  readonly #hasher = new FileHasher();
  readonly #open = new Map<Digest, Part>();
  readonly #idle = new Map<Digest, NodeJS.Timeout>();

  constructor(files: PartFiles) {
    this.#files = files;
  }

  /** How many bytes of a blob are here. */
  async kept(digest: Digest): Promise<number> {
    return this.#open.get(digest)?.size ?? (await this.#files.kept(digest));
  }

  /** How many bytes more the disk must hold to go on with them. */
  async copied(digest: Digest): Promise<number> {
    return this.#open.has(digest) ? 0 : await this.#files.copied(digest);
  }

  /** Opens the part of a blob, with what is here of it if that is wanted. */
  async open(digest: Digest, goOn: boolean): Promise<Part> {
    clearTimeout(this.#idle.get(digest));
    this.#idle.delete(digest);
    const former = this.#open.get(digest);
    if (former !== undefined && goOn) return former;
    await this.#close(digest);
    const part = await Part.open(await this.#files.claim(digest, goOn), this.#hasher);
    this.#open.set(digest, part);
    return part;
  }

  /** Keeps a part for its next piece, for a while; one that something failed of is closed. */
  async rest(digest: Digest): Promise<void> {
    const part = this.#open.get(digest);
    if (part === undefined) return;
    if (part.hasFailed) return await this.#close(digest);
    const close = () => void this.#close(digest);
    this.#idle.set(digest, setTimeout(close, IDLE_MS).unref());
    const [oldest] = this.#idle.keys();
    if (this.#idle.size > MOST_IDLE && oldest !== undefined) await this.#close(oldest);
  }

  /** Takes away what is here of a blob. */
  async remove(digest: Digest): Promise<void> {
    await this.#close(digest);
    await this.#files.remove(digest);
  }

  /** Takes away what nobody has gone on with since `beforeMs`. */
  async sweep(beforeMs: number): Promise<void> {
    const used = new Set([...this.#open.values()].map(({ path }) => path));
    await this.#files.sweep(beforeMs, (path) => used.has(path));
  }

  /** Closes all parts. */
  async close(): Promise<void> {
    await Promise.all([...this.#open.keys()].map((digest) => this.#close(digest)));
  }

  async #close(digest: Digest): Promise<void> {
    clearTimeout(this.#idle.get(digest));
    this.#idle.delete(digest);
    const part = this.#open.get(digest);
    this.#open.delete(digest);
    await part?.close();
  }
}
