import { create, equals } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Model } from "../../../gen/modelmanager/v1/model_pb.ts";
import { SourceSchema } from "../../../gen/modelmanager/v1/source_pb.ts";
import type { Version } from "../../../gen/modelmanager/v1/version_pb.ts";
import type { ModelManagerClient } from "../../client/connect.ts";
import { CliError } from "../cli-error.ts";
import { EXIT } from "../exit-codes.ts";
import { formatSource } from "../format/source.ts";
import { type Facts, portableSource } from "./facts.ts";
import type { BundledVersion } from "./read-bundle.ts";

/** A version that a bundle holds, with what is said of it. */
export interface KnownVersion extends BundledVersion {
  readonly facts: Facts;
}

/**
 * Makes the model of a version unless it is there; one that is there stays as it is.
 *
 * @returns the model, and what it has otherwise than the bundle says, for people.
 * @throws ConnectError
 */
export async function ensureModel(
  { models }: Pick<ModelManagerClient, "models">,
  { modelId, modelType, displayName, description, labels, baseModelId, source }: Facts,
  { validateOnly = false }: { readonly validateOnly?: boolean } = {},
): Promise<{ model?: Model; warning?: string }> {
  const place = source ?? create(SourceSchema, { kind: { case: "upload", value: {} } });
  const wanted = { id: modelId, type: modelType, displayName, description, labels, baseModelId, source: place };
  try {
    const { model } = await models.createModel({ model: wanted, validateOnly });
    return { model };
  } catch (error) {
    if (!(error instanceof ConnectError) || error.code !== Code.AlreadyExists) throw error;
  }
  const { model } = await models.getModel({ modelRef: modelId });
  const same = model?.source !== undefined && equals(SourceSchema, portableSource(model.source), place);
  if (same || source === undefined) return { model };
  return {
    model,
    warning: `the model ${modelId} is there and keeps its source ${formatSource(model?.source)}; in the bundle it is ${formatSource(source)}`,
  };
}

/**
 * Makes the version; one with the same files that is there stays as it is.
 *
 * @throws CliError if the service made another version than the bundle says; ConnectError
 */
export async function publishVersion(
  { models }: Pick<ModelManagerClient, "models">,
  { name, facts, files, manifestDigest }: KnownVersion,
): Promise<Version> {
  const { version } = await models.createVersion({
    modelId: facts.modelId,
    files: files.map(({ path, digest }) => ({ path, digest })),
    resolvedRevision: facts.resolvedRevision,
    license: facts.license,
    labels: facts.versionLabels,
  });
  if (version?.manifestDigest === manifestDigest) return version;
  throw new CliError(
    EXIT.failure,
    `${name}: the service made a version of digest ${version?.manifestDigest}, not ${manifestDigest}`,
  );
}
