import type { NamedCredentials } from "../../domain/ports/credentials.ts";
import type { ResolvedSource, ResolveRequest } from "../../domain/ports/sources.ts";
import type { OciSource } from "../../domain/source.ts";
import { escapeGlob } from "../../lib/glob.ts";
import { proofOf, tokenFor } from "../credentials.ts";
import { compileSelection, identityOf, type Patterns, patternsOf, selectFiles } from "../files.ts";
import type { HttpClient } from "../outgoing/http-client.ts";
import { type LayerFile, layerFiles } from "./layers.ts";
import { licenseOf } from "./license.ts";
import { chooseManifest } from "./manifest.ts";
import { misunderstood, type OciReference, parseOciReference, parseOciRevision } from "./reference.ts";
import { openRegistry, type Registry } from "./registry.ts";

/**
 * Resolves an artifact of an OCI registry: pins it to the digest of its manifest, then lists what the manifest's layers are.
 * A revision, a tag or a digest, takes the place of the reference's own. Patterns choose among the files that the version would
 * have. What an archive holds is known only when it is here: it is fetched unless its name says that nothing in it is wanted.
 */
export async function resolveOci(
  client: HttpClient,
  credentials: NamedCredentials,
  source: OciSource,
  request: ResolveRequest,
): Promise<ResolvedSource> {
  const { signal, revision } = request;
  const said = parseOciReference("source.oci.reference", source.reference);
  const reference = revision === "" ? said : { ...said, target: parseOciRevision("revision", revision) };
  const proof = await proofOf(credentials, request.credential, source.credential);
  // Before anything is sent: the operator may keep it from this host.
  const token = tokenFor(proof, new URL(reference.origin));
  const credential = token === undefined ? undefined : { token, hosts: proof?.hosts };
  const registry = openRegistry(client, reference, credential);
  const { manifest, digest } = await pin(registry, reference, signal);
  const license = await licenseOf(manifest, (config) => registry.read(config, "the configuration", signal));
  const patterns = patternsOf(request);
  const { takes, mayHold } = layerSelection(patterns);
  const files = selectFiles(layerFiles(manifest), patterns, (file) =>
    file.format === undefined ? takes(file.path) : mayHold(file),
  );
  return {
    revision: digest,
    license,
    files: files.map(({ path, descriptor, format }) => ({
      path,
      size: descriptor.size,
      digest: descriptor.digest,
      identity: identityOf("oci", descriptor.digest, path),
      unpack: format && { format, takes: isEverything(patterns) ? undefined : takes },
      origins: [registry.origin(descriptor, path)],
    })),
  };
}

function isEverything({ allowPatterns, ignorePatterns }: Patterns): boolean {
  return allowPatterns.length === 0 && ignorePatterns.length === 0;
}

/** Whether a file is wanted, and whether an archive may hold one that is. */
function layerSelection(patterns: Patterns) {
  const { takes, ignores } = compileSelection(patterns);
  const isWithin = (folder: string) =>
    patterns.allowPatterns.some((pattern) => pattern.startsWith(`${escapeGlob(folder)}/`));
  const mayHold = ({ path, single }: LayerFile) => !single || takes(path) || (isWithin(path) && !ignores(path));
  return { takes, mayHold };
}

/** The manifest that a reference means now. */
async function pin(registry: Registry, reference: OciReference, signal: AbortSignal) {
  const answer = await registry.manifest(reference.target, signal);
  if ("manifest" in answer) return answer;
  const chosen = await registry.manifest({ digest: chooseManifest(reference, answer.index) }, signal);
  if ("manifest" in chosen) return chosen;
  throw misunderstood(reference, "has an index that leads to another index");
}
