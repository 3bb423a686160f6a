import { type Model, ModelStatusSchema, ModelTypeSchema } from "../../../gen/modelmanager/v1/model_pb.ts";
import type { Version, VersionFile, VersionMetadata } from "../../../gen/modelmanager/v1/version_pb.ts";
import { humanBytes } from "../../lib/bytes.ts";
import { formatSource } from "./source.ts";
import { type Column, formatDetails, formatTable, printable } from "./table.ts";
import { ago, counted, enumName, formatLabels, timeAndAge } from "./values.ts";

/** Counts as people say them: `494M`, `7.62B`. */
const COUNT = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

/** Prints a list of models. */
export function formatModels(models: readonly Model[], now: Date): string {
  const columns: Column<Model>[] = [
    { heading: "MODEL", text: (model) => model.id },
    { heading: "TYPE", text: (model) => enumName(ModelTypeSchema, model.type) },
    { heading: "STATUS", text: (model) => enumName(ModelStatusSchema, model.status) },
    { heading: "LATEST", align: "right", text: (model) => model.latestVersion?.toString() ?? "" },
    { heading: "ALIASES", text: (model) => formatAliases(model) },
    { heading: "SOURCE", text: (model) => formatSource(model.source) },
    { heading: "UPDATED", text: (model) => ago(model.updateTime, now) },
  ];
  return formatTable(columns, models);
}

/** Prints all of a model, and the version that goes with it. */
export function formatModel(model: Model, version: Version | undefined, now: Date): string {
  const details = formatDetails([
    ["name", model.displayName],
    ["description", model.description],
    ["type", enumName(ModelTypeSchema, model.type)],
    ["base model", model.baseModelId],
    ["status", enumName(ModelStatusSchema, model.status)],
    ["source", formatSource(model.source)],
    ["labels", formatLabels(model.labels)],
    ["versions", String(model.versionCount)],
    ["aliases", formatAliases(model)],
    ["created", timeAndAge(model.createTime, now)],
    ["updated", timeAndAge(model.updateTime, now)],
  ]);
  const text = `${printable(model.id)}\n${details}`;
  return version === undefined ? `${text}\nno version yet\n` : `${text}\n${formatVersion(version, now)}`;
}

function formatVersion(version: Version, now: Date): string {
  const { metadata } = version;
  const details = formatDetails([
    ["digest", version.manifestDigest],
    ["revision", version.resolvedRevision],
    ["size", `${humanBytes(version.totalBytes)} in ${counted(version.fileCount, "file")}`],
    ["license", version.license],
    ["format", metadata?.format],
    ["architecture", metadata?.architecture],
    ["parameters", metadata?.parameterCount === undefined ? "" : COUNT.format(metadata.parameterCount)],
    ["quantization", metadata?.quantization],
    ["precision", metadata?.precision],
    ["context", metadata?.contextLength === undefined ? "" : counted(metadata.contextLength, "token")],
    ["memory", metadata?.estimatedMemoryBytes === undefined ? "" : humanBytes(metadata.estimatedMemoryBytes)],
    ["made from", metadata?.baseModels.join(", ")],
    ["adapter rank", metadata?.adapterRank?.toString()],
    ["brings", formatBrought(metadata)],
    ["onnx opset", metadata?.onnxOpset?.toString()],
    ["gated", metadata?.gated ? "yes" : ""],
    ["tags", metadata?.tags.join(", ")],
    ["unsafe files", metadata?.unsafeFiles.join(", ")],
    ["unreadable", metadata?.error],
    ["pinned", version.pinned ? "yes" : ""],
    ["damaged files", version.damagedFiles.join(", ")],
    ["labels", formatLabels(version.labels)],
    ["created", timeAndAge(version.createTime, now)],
    ["last used", ago(version.lastUsedTime, now)],
  ]);
  const columns: Column<VersionFile>[] = [
    { heading: "FILE", text: (file) => file.path },
    { heading: "SIZE", align: "right", text: (file) => humanBytes(file.size) },
    { heading: "DIGEST", text: (file) => file.digest },
  ];
  return `version ${version.version}\n${details}\n${formatTable(columns, version.files)}`;
}

function formatBrought(metadata: VersionMetadata | undefined): string {
  return [metadata?.hasTokenizer && "a tokenizer", metadata?.hasChatTemplate && "a chat template"]
    .filter((thing) => thing)
    .join(", ");
}

function formatAliases(model: Model): string {
  return model.aliases.map(({ alias, version }) => `${alias}=${version}`).join(", ");
}
