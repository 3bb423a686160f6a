import { readdir, realpath, stat } from "node:fs/promises";
import { basename, join, relative, sep } from "node:path";
import { isFilePath } from "../../domain/file-path.ts";
import { systemCode } from "../../lib/system-error.ts";
import { CliError } from "../cli-error.ts";
import { EXIT } from "../exit-codes.ts";

/** A file to be imported. */
export interface LocalFile {
  /** Its path in the version. */
  readonly path: string;
  /** Where it is. */
  readonly file: string;
  /** Bytes. */
  readonly size: number;
}

/** Folders that tools keep their own things in. */
const SKIPPED: ReadonlySet<string> = new Set([".git", ".cache"]);

/**
 * Lists the files that the paths are: of a folder what is in it, by paths relative to it, but for `.git` and `.cache`; of a
 * file itself, by its name. A symbolic link is followed if it stays in the folder, or with `followLinks` wherever it goes.
 *
 * @throws CliError for a path that is not there, for what is neither file nor folder, for a link that leads out, for two files of one path.
 */
export async function listLocalFiles(paths: readonly string[], followLinks: boolean): Promise<LocalFile[]> {
  const files: LocalFile[] = [];
  for (const path of paths) {
    const found = await look(path, path);
    if (found.isDirectory()) await new Folder(path, await realpath(path), followLinks, files).list();
    else if (found.isFile()) files.push({ path: named(path, basename(path)), file: path, size: found.size });
    else throw notPlain(path);
  }
  if (files.length === 0) throw new CliError(EXIT.usage, `${paths.join(", ")}: there is no file to import`);
  assertOnce(files);
  return files;
}

function assertOnce(files: readonly LocalFile[]): void {
  const seen = new Map<string, LocalFile>();
  for (const file of files) {
    const other = seen.get(file.path);
    if (other !== undefined) {
      throw new CliError(EXIT.usage, `${other.file} and ${file.file} would both be '${file.path}' in the version`);
    }
    seen.set(file.path, file);
  }
}

class Folder {
  readonly #root: string;
  readonly #realRoot: string;
  readonly #followLinks: boolean;
  readonly #files: LocalFile[];

  constructor(root: string, realRoot: string, followLinks: boolean, files: LocalFile[]) {
    this.#root = root;
    this.#realRoot = realRoot;
    this.#followLinks = followLinks;
    this.#files = files;
  }

  /** Lists a folder; `above` are the real paths of the folders that it lies in, as they were walked. */
  async list(folder = this.#root, above: readonly string[] = [this.#realRoot]): Promise<void> {
    const entries = await readdir(folder, { withFileTypes: true });
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const file = join(folder, entry.name);
      if (SKIPPED.has(entry.name)) continue;
      if (entry.isSymbolicLink()) await this.#assertFollowed(file);
      const found = await look(file, file);
      if (found.isDirectory()) {
        const real = await realpath(file);
        if (above.includes(real)) throw new CliError(EXIT.failure, `${file}: leads back to a folder that it lies in`);
        await this.list(file, [...above, real]);
      } else if (found.isFile()) {
        const path = named(file, relative(this.#root, file).split(sep).join("/"));
        this.#files.push({ path, file, size: found.size });
      } else throw notPlain(file);
    }
  }

  async #assertFollowed(file: string): Promise<void> {
    const real = await realpath(file).catch((error: unknown) => {
      throw unreadable(file, error);
    });
    if (this.#followLinks || real.startsWith(this.#realRoot + sep)) return;
    throw new CliError(EXIT.failure, `${file}: is a link out of ${this.#root}`, { hint: "--follow-links follows it" });
  }
}

async function look(path: string, name: string) {
  try {
    return await stat(path);
  } catch (error) {
    throw unreadable(name, error);
  }
}

function unreadable(path: string, error: unknown): CliError {
  const code = systemCode(error);
  if (code === "ENOENT") return new CliError(EXIT.usage, `${path}: there is no such file or folder`);
  return new CliError(EXIT.failure, `${path}: cannot be read (${code ?? error})`);
}

function notPlain(path: string): CliError {
  return new CliError(EXIT.failure, `${path}: is neither a file nor a folder`);
}

function named(file: string, path: string): string {
  if (isFilePath(path)) return path;
  throw new CliError(EXIT.failure, `${file}: cannot be in a version by that name`, {
    hint: "names of at most 1024 bytes in all, without backslashes, colons and control characters",
  });
}
