import type { NamedCredentials } from "../../domain/ports/credentials.ts";
import type { ResolvedSource, ResolveRequest } from "../../domain/ports/sources.ts";
import type { OciSource } from "../../domain/source.ts";
import { proofOf, tokenFor } from "../credentials.ts";
import { identityOf, patternsOf, selectFiles } from "../files.ts";
import type { HttpClient } from "../outgoing/http-client.ts";
import { layerFiles } from "./layers.ts";
import { licenseOf } from "./license.ts";
import { chooseManifest } from "./manifest.ts";
import { misunderstood, type OciReference, parseOciReference, parseOciRevision } from "./reference.ts";
import { openRegistry, type Registry } from "./registry.ts";

/**
 * Resolves an artifact of an OCI registry: pins it to the digest of its manifest, then lists what the manifest's layers are.
 * A revision, a tag or a digest, takes the place of the reference's own. Patterns choose among layers: of an archive all files
 * are taken or none.
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
  const files = selectFiles(layerFiles(manifest), patternsOf(request));
  return {
    revision: digest,
    license,
    files: files.map(({ path, descriptor, unpack }) => ({
      path,
      size: descriptor.size,
      digest: descriptor.digest,
      identity: identityOf("oci", descriptor.digest, path),
      unpack,
      origins: [registry.origin(descriptor, path)],
    })),
  };
}

/** The manifest that a reference means now. */
async function pin(registry: Registry, reference: OciReference, signal: AbortSignal) {
  const answer = await registry.manifest(reference.target, signal);
  if ("manifest" in answer) return answer;
  const chosen = await registry.manifest({ digest: chooseManifest(reference, answer.index) }, signal);
  if ("manifest" in chosen) return chosen;
  throw misunderstood(reference, "has an index that leads to another index");
}
