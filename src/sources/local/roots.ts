import { realpath } from "node:fs/promises";
import { dirname, isAbsolute, sep } from "node:path";
import { DomainError } from "../../domain/errors.ts";
import { SourceUnavailable } from "../../domain/ports/sources.ts";
import { systemCode } from "../../lib/system-error.ts";

/** A place below a root, without links. */
export interface LocalPlace {
  readonly realPath: string;
  /** The root that it lies below, without links. */
  readonly realRoot: string;
  /** As the caller named it, for messages. */
  readonly named: string;
}

/** The folders that local sources may read. */
export interface LocalRoots {
  /**
   * Follows all links of a path and answers where it leads. PATH_NOT_ALLOWED unless that is below a root, also for what is
   * not there; SOURCE_NOT_FOUND for what is missing below one.
   */
  locate(path: string): Promise<LocalPlace>;
}

/** Makes the roots from folders, which may themselves be links, and need not exist yet. */
export function createLocalRoots(folders: readonly string[]): LocalRoots {
  async function rootOf(real: string): Promise<string | undefined> {
    for (const folder of folders) {
      const root = await realpath(folder).catch(() => undefined);
      if (root !== undefined && isBelow(real, root)) return root;
    }
    return undefined;
  }

  return {
    async locate(path) {
      if (folders.length === 0) {
        throw new DomainError(
          "PATH_NOT_ALLOWED",
          "local sources are not allowed here; the operator can allow folders with MODEL_MANAGER_LOCAL_ROOTS",
        );
      }
      if (!isAbsolute(path) || path.includes("\0")) throw outside(path);
      const real = await realpath(path).catch(async (error: unknown) => {
        // Only below a root may a caller learn what is there and what is not.
        const root = await rootOf(await existingPart(path));
        throw root === undefined ? outside(path) : unreadable(error, path);
      });
      const realRoot = await rootOf(real);
      if (realRoot === undefined) throw outside(path);
      return { realPath: real, realRoot, named: path };
    },
  };
}

/** Where the part of a path that can be reached leads. */
async function existingPart(path: string): Promise<string> {
  for (let parent = dirname(path); ; parent = dirname(parent)) {
    const real = await realpath(parent).catch(() => undefined);
    if (real !== undefined || parent === dirname(parent)) return real ?? parent;
  }
}

/** Whether a path is a folder or lies in it; both without links and dots. */
export function isBelow(path: string, folder: string): boolean {
  const base = folder.endsWith(sep) ? folder : folder + sep;
  return path === folder || path.startsWith(base);
}

/** What a fault of the file system means; `path` is shown, so it must be one that the caller knows. */
export function unreadable(cause: unknown, path: string): DomainError {
  switch (systemCode(cause)) {
    case "ENOENT":
    case "ENOTDIR":
    case "ELOOP":
      return new DomainError("SOURCE_NOT_FOUND", `there is no '${path}' on the manager's machine`, { cause });
    case "EACCES":
    case "EPERM":
      return new DomainError("SOURCE_FORBIDDEN", `'${path}' may not be read by the manager`, { cause });
    default:
      return new SourceUnavailable(`'${path}' cannot be read now`, { cause });
  }
}

/** What leads out of every root. */
export function outside(path: string): DomainError {
  return new DomainError(
    "PATH_NOT_ALLOWED",
    `'${path}' is not below a folder that local sources may read; the operator can allow one with MODEL_MANAGER_LOCAL_ROOTS`,
  );
}
