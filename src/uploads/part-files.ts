import { constants } from "node:fs";
import { copyFile, open, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Digest, hexOfDigest } from "../domain/digest.ts";
import { makeFolder } from "../lib/make-folder.ts";
import { isMissing } from "../lib/system-error.ts";

/** A file of an upload that has not come to its end. */
interface PartFile {
  readonly path: string;
  readonly writer: string;
  /** Bytes. */
  readonly size: number;
  readonly modifiedMs: number;
}

const PART = /^([0-9a-f]{64})\.([0-9a-f-]{36})\.part$/;

/**
 * The files of uploads: `uploads/<hex>.<writer>.part` in the store's spool. A process appends to files of its own alone, for
 * another one may still have its file open.
 */
export class PartFiles {
  readonly #folder: string;
  readonly #writer: string;
  readonly #alone: boolean;

  /** `writer` names this process; `alone` says that no other one can use the spool, so that files are taken over as they are. */
  constructor(spool: string, writer: string, alone: boolean) {
    this.#folder = join(spool, "uploads");
    this.#writer = writer;
    this.#alone = alone;
  }

  /** How many bytes of a blob earlier uploads left, at most; 0 without any. */
  async kept(digest: Digest): Promise<number> {
    return (await this.#best(digest))?.size ?? 0;
  }

  /** How much room going on with what is kept takes beside the bytes to come. */
  async copied(digest: Digest): Promise<number> {
    const best = await this.#best(digest);
    return best === undefined || best.writer === this.#writer || this.#alone ? 0 : best.size;
  }

  /** A file of this process for a blob, with what earlier uploads left of it if that is wanted. */
  async claim(digest: Digest, goOn: boolean): Promise<string> {
    const path = join(this.#folder, `${hexOfDigest(digest)}.${this.#writer}.part`);
    const best = goOn ? await this.#best(digest) : undefined;
    if (best?.path === path) return path;
    if (best === undefined) await this.#make(path);
    else if (this.#alone) await rename(best.path, path);
    else await copyFile(best.path, path, constants.COPYFILE_FICLONE);
    return path;
  }

  /** Makes an empty file, in a folder that somebody may be taking away as empty. */
  async #make(path: string): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        // The spool itself must be there: were it missing, the disk would not be the store's.
        await makeFolder(this.#folder);
        return await (await open(path, "w", 0o640)).close();
      } catch (error) {
        if (!isMissing(error) || attempt === 3) throw error;
      }
    }
  }

  /** Takes away all files of a blob's uploads. */
  async remove(digest: Digest): Promise<void> {
    for (const { path } of await this.#list(hexOfDigest(digest))) await rm(path, { force: true });
  }

  /** Takes away files that nobody has written to since `beforeMs`, but for those in use here. */
  async sweep(beforeMs: number, isUsed: (path: string) => boolean): Promise<void> {
    for (const { path, modifiedMs } of await this.#list("")) {
      if (modifiedMs < beforeMs && !isUsed(path)) await rm(path, { force: true });
    }
  }

  async #best(digest: Digest): Promise<PartFile | undefined> {
    const files = await this.#list(hexOfDigest(digest));
    const own = files.find(({ writer }) => writer === this.#writer);
    return own ?? files.sort((a, b) => b.size - a.size)[0];
  }

  /** The files whose names begin like this. */
  async #list(prefix: string): Promise<PartFile[]> {
    const files: PartFile[] = [];
    for (const name of await this.#names()) {
      const [, , writer] = name.startsWith(prefix) ? (PART.exec(name) ?? []) : [];
      if (writer === undefined) continue;
      const path = join(this.#folder, name);
      try {
        const { size, mtimeMs } = await stat(path);
        files.push({ path, writer, size, modifiedMs: mtimeMs });
      } catch (error) {
        if (!isMissing(error)) throw error;
      }
    }
    return files;
  }

  async #names(): Promise<string[]> {
    try {
      return await readdir(this.#folder);
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
  }
}
