import { existsSync } from "node:fs";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Command } from "commander";
import type { DownloadProgress } from "../../gen/modelmanager/v1/download_pb.ts";
import { type Model, ModelSchema } from "../../gen/modelmanager/v1/model_pb.ts";
import type { ModelManagerClient } from "../client/connect.ts";
import { formatModelRef } from "../domain/model-ref.ts";
import { isModelId } from "../domain/names.ts";
import { humanBytes } from "../lib/bytes.ts";
import { humanDuration } from "../lib/duration.ts";
import { CliError } from "./cli-error.ts";
import { commandHint } from "./command-hint.ts";
import { withClient } from "./connection.ts";
import { EXIT } from "./exit-codes.ts";
import { formatSource } from "./format/source.ts";
import { counted } from "./format/values.ts";
import { modelTypeOf, modelTypeOption } from "./model-type-option.ts";
import { print, tell } from "./output.ts";
import { type ServiceOptions, withServiceOptions } from "./service-options.ts";
import { isSamePlace, parseSource } from "./source-argument.ts";
import { applySourceOptions, type SourceOptions, withSourceOptions } from "./source-options.ts";
import { watchOnTerminal } from "./watch.ts";

interface PullOptions extends ServiceOptions, SourceOptions {
  readonly id?: string;
  readonly type: string;
  readonly baseModel?: string;
  readonly revision?: string;
  readonly include?: string[];
  readonly exclude?: string[];
  readonly metadataOnly?: boolean;
  readonly sourceToken?: string;
  readonly quiet?: boolean;
}

/** Files that weights come in, by their names. */
const WEIGHTS = ["safetensors", "gguf", "bin", "pt", "pth", "ckpt", "onnx", "onnx_data", "h5", "msgpack", "tflite"].map(
  (extension) => `*.${extension}`,
);

/** Adds `pull`: downloads a model, registering it first if it is new. */
export function addPull(program: Command): void {
  const command = program
    .command("pull")
    .summary("download a model, with its progress")
    .description(
      "Downloads a model; registers it first if it is new.\n\n" +
        "The source is hf:<org>/<name>[@<revision>], oci:<host>/<repository>[:<tag>], ollama:<name>[:<tag>], s3://<bucket>/<prefix>/ or s3://<bucket>/<key>, an http or https " +
        "URL, or the path of a folder or a file on the service's machine; or it is the id of a model that is registered, whose own source is asked. Without --id the model is called as the " +
        "repository, or as the file or folder without its extension. The model remembers the place alone; revision and patterns count for this download.\n\n" +
        `--metadata-only is short for: ${WEIGHTS.map((glob) => `--exclude '${glob}'`).join(" ")}`,
    )
    .argument("<source>", "where the model's files come from, or a registered model's id")
    .option("--id <id>", "the model's id")
    .addOption(modelTypeOption())
    .option("--base-model <id>", "the model that an adapter is applied to")
    .option("--revision <revision>", "a branch, tag or commit")
    .option("--include <glob>", "take only files like this; can be given several times", collect)
    .option("--exclude <glob>", "leave files like this out; can be given several times", collect)
    .option("--metadata-only", "leave the weights out, by their names: what comes is a version of its own")
    .option("--source-token <token>", "the source's token, such as Hugging Face's; kept for this download alone")
    .option("-q, --quiet", "print the version alone, when it is there");
  withServiceOptions(withSourceOptions(command)).action(pull);
}

async function pull(text: string, options: PullOptions): Promise<void> {
  const { sourceToken } = options;
  await withClient(options, async (client) => {
    const { model, revision } = (await findModel(client, text, options)) ?? (await register(client, text, options));
    const request = {
      modelId: model.id,
      revision: options.revision ?? revision,
      allowPatterns: options.include,
      ignorePatterns: [...(options.exclude ?? []), ...(options.metadataOnly ? WEIGHTS : [])],
      credential: sourceToken === undefined ? undefined : { kind: { case: "token" as const, value: sourceToken } },
    };
    if (!options.json && !options.quiet) tell(`pulling ${model.id} from ${formatSource(model.source)}`);
    const startedAt = Date.now();
    const last = await watchOnTerminal(client, (signal) => client.models.downloadModel(request, { signal }), options);
    if (options.quiet && !options.json) print(formatModelRef({ modelId: model.id, version: last.version }));
    else if (!options.json) print(formatDone(model.id, last, Date.now() - startedAt, options));
  });
}

/** A model to download, and the revision of its source unless another is asked for. */
interface Wanted {
  readonly model: Model;
  readonly revision: string;
}

/** The registered model that is meant, by its id: its own source is asked. A file or folder of that name goes first. */
async function findModel(client: ModelManagerClient, text: string, { id }: PullOptions): Promise<Wanted | undefined> {
  if (id !== undefined || !isModelId(text) || existsSync(text)) return undefined;
  try {
    const { model } = await client.models.getModel({ modelRef: text });
    return model && { model, revision: "" };
  } catch (error) {
    if (error instanceof ConnectError && error.code === Code.NotFound) return undefined;
    throw error;
  }
}

/** Registers the model of a source unless it is there. One with that id and another source is left alone. */
async function register(client: ModelManagerClient, text: string, options: PullOptions): Promise<Wanted> {
  const { endpoint, region, credential } = options;
  const argument = applySourceOptions(parseSource(text), { endpoint, region, credential });
  const { source, revision } = argument;
  const id = options.id ?? argument.defaultId;
  const wanted = { id, type: modelTypeOf(options.type), source, baseModelId: options.baseModel };
  try {
    const { model = create(ModelSchema, wanted) } = await client.models.createModel({ model: wanted });
    return { model, revision };
  } catch (error) {
    if (!(error instanceof ConnectError) || error.code !== Code.AlreadyExists) throw error;
  }
  const { model = create(ModelSchema, wanted) } = await client.models.getModel({ modelRef: id });
  if (isSamePlace(model.source, argument)) return { model, revision };
  throw new CliError(EXIT.failure, `the model ${model.id} exists and comes from ${formatSource(model.source)}`, {
    hint: `choose another id with --id, or remove that one first: ${commandHint(`rm ${model.id}`, options)}`,
  });
}

/** What was downloaded, and what to do with it. */
function formatDone(
  id: string,
  { version, totalBytes, totalFiles, reusedBytes }: DownloadProgress,
  ms: number,
  options: ServiceOptions,
): string {
  const reused = reusedBytes > 0n ? `, ${humanBytes(reusedBytes)} of it were here already` : "";
  const size = `${humanBytes(totalBytes ?? 0n)} in ${counted(totalFiles ?? 0, "file")}`;
  return `${formatModelRef({ modelId: id, version })} is ready: ${size}, verified, in ${humanDuration(ms)}${reused}\n  see it: ${commandHint(`show ${id}`, options)}`;
}

/** For an option that can be given several times. */
function collect(value: string, earlier: readonly string[] = []): string[] {
  return [...earlier, value];
}
