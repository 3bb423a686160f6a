import type { ResolvedSource, ResolveRequest } from "../../domain/ports/sources.ts";
import type { LocalSource } from "../../domain/source.ts";
import { assertNoRevision, identityOf, patternsOf, selectFiles } from "../files.ts";
import { listFolder } from "./list-folder.ts";
import { openLocalFile } from "./open-file.ts";
import type { LocalRoots } from "./roots.ts";

/** Resolves a folder, or one file, of the manager's own machine. */
export async function resolveLocal(
  roots: LocalRoots,
  source: LocalSource,
  request: ResolveRequest,
): Promise<ResolvedSource> {
  assertNoRevision(request);
  const place = await roots.locate(source.path);
  const files = selectFiles(await listFolder(place, request.signal), patternsOf(request));
  return {
    revision: "",
    license: "",
    files: files.map((file) => ({
      path: file.path,
      size: file.size,
      identity: identityOf("local", file.realPath, file.version),
      origins: [{ host: "local", open: (opening) => openLocalFile(file, place.realRoot, opening) }],
    })),
  };
}
