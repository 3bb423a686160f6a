import { ModelType } from "../../../gen/modelmanager/v1/model_pb.ts";
import type { Version } from "../../../gen/modelmanager/v1/version_pb.ts";
import type { ModelManagerClient } from "../../client/connect.ts";
import { openBlobTransfer } from "../blob-transfer.ts";
import { CliError } from "../cli-error.ts";
import type { ServiceAddress } from "../connection.ts";
import { EXIT } from "../exit-codes.ts";
import { modelTypeOf } from "../model-type-option.ts";
import { tell } from "../output.ts";
import type { ServiceOptions } from "../service-options.ts";
import { showTransfer } from "../transfer-progress.ts";
import { openBundleFiles } from "./bundle-files.ts";
import type { Facts } from "./facts.ts";
import { ensureModel, type KnownVersion, publishVersion } from "./publish-version.ts";
import { type BundledVersion, readBundle } from "./read-bundle.ts";
import { findMissing, uploadBlobs } from "./upload-blobs.ts";

/** What an import takes beside the bundle. */
export interface ImportOptions extends ServiceOptions {
  /** The model that the bundle's versions become versions of; default the one that the bundle names. */
  readonly model?: string;
  /** What that model does if it is new and the bundle does not say it. */
  readonly type: string;
  /** Whether aliases are set as they were where the bundle was made. */
  readonly aliases?: boolean;
  readonly quiet?: boolean;
}

/** A version that is there now. */
export interface Imported {
  readonly version: Version;
  /** What the bundle calls it. */
  readonly name: string;
  /** The aliases that were set. */
  readonly aliases: readonly string[];
}

/** What an import did. */
export interface ImportResult {
  readonly versions: readonly Imported[];
  readonly totalBytes: number;
  readonly sentBytes: number;
}

/**
 * Brings a bundle's versions into the service. All that can be checked is checked before anything is sent; models and
 * versions are made when all blobs are there.
 *
 * @throws CliError, ConnectError
 */
export async function importBundle(
  client: ModelManagerClient,
  address: ServiceAddress,
  path: string,
  options: ImportOptions,
  signal: AbortSignal,
): Promise<ImportResult> {
  const files = await openBundleFiles(path);
  const versions = nameVersions(await readBundle(files), options);
  const transfer = await openBlobTransfer(address);
  try {
    await validateModels(client, versions);
    const missing = await findMissing(versions, files, transfer, signal);
    const progress = await showTransfer(missing, options);
    let sentBytes: number;
    try {
      sentBytes = await uploadBlobs(missing, files, transfer, progress, signal);
    } finally {
      progress.end();
    }
    const imported: Imported[] = [];
    for (const version of versions) imported.push(await publish(client, version, options));
    const totalBytes = imported.reduce((sum, { version }) => sum + Number(version.totalBytes), 0);
    return { versions: imported, totalBytes, sentBytes };
  } finally {
    await transfer.close();
  }
}

/** Says whose versions they are; models that others are applied to come first, and older versions before newer ones. */
function nameVersions(versions: readonly BundledVersion[], { model, type }: ImportOptions): KnownVersion[] {
  const ids = new Set(versions.map(({ facts }) => facts?.modelId));
  if (model !== undefined && ids.size > 1) {
    throw new CliError(EXIT.usage, "--model: the bundle holds several models, which have names of their own");
  }
  const known = versions.map((version): KnownVersion => {
    const facts = version.facts ?? (model === undefined ? undefined : foreignFacts(model, type));
    if (facts !== undefined) return { ...version, facts: { ...facts, modelId: model ?? facts.modelId } };
    throw new CliError(EXIT.usage, `${version.name}: does not say which model it is of`, {
      hint: "another program made it: say which model it becomes with --model <id>",
    });
  });
  const order = ({ facts }: KnownVersion) => (facts.baseModelId === "" ? 0 : 1);
  return known.sort((a, b) => order(a) - order(b) || a.facts.version - b.facts.version);
}

/** What is known of a version that another program packed: nothing but what the caller says. */
function foreignFacts(modelId: string, type: string): Facts {
  return {
    modelId,
    modelType: modelTypeOf(type),
    displayName: "",
    description: "",
    labels: {},
    baseModelId: "",
    version: 0,
    manifestDigest: "",
    resolvedRevision: "",
    license: "",
    versionLabels: {},
  };
}

/** Finds out before anything is sent whether the service would take the models, and warns of what they have otherwise. */
async function validateModels(client: ModelManagerClient, versions: readonly KnownVersion[]): Promise<void> {
  const byId = new Map(versions.map(({ facts }) => [facts.modelId, facts]));
  for (const facts of byId.values()) {
    // Its base comes with it.
    if (facts.modelType === ModelType.ADAPTER && byId.has(facts.baseModelId)) continue;
    const { warning } = await ensureModel(client, facts, { validateOnly: true });
    if (warning !== undefined) tell(`warning: ${warning}`);
  }
}

async function publish(
  client: ModelManagerClient,
  known: KnownVersion,
  { aliases: withAliases = false }: ImportOptions,
): Promise<Imported> {
  const { model } = await ensureModel(client, known.facts);
  const version = await publishVersion(client, known);
  const aliases = withAliases ? known.aliases : [];
  for (const alias of aliases) {
    await client.models.setAlias({ modelId: model?.id ?? known.facts.modelId, alias, version: version.version });
  }
  return { version, name: known.name, aliases };
}
