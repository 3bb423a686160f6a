import { clone, create, enumFromJson, enumToJson, fromJson, isEnumJson, toJson } from "@bufbuild/protobuf";
import { z } from "zod";
import { type Model, ModelType, ModelTypeSchema } from "../../../gen/modelmanager/v1/model_pb.ts";
import { type Source, SourceSchema, UploadSourceSchema } from "../../../gen/modelmanager/v1/source_pb.ts";
import type { Version } from "../../../gen/modelmanager/v1/version_pb.ts";
import { canonicalJson } from "../../lib/canonical-json.ts";
import { CliError } from "../cli-error.ts";
import { EXIT } from "../exit-codes.ts";

/** What a bundle says of a version and its model beside the files. */
export interface Facts {
  readonly modelId: string;
  readonly modelType: ModelType;
  readonly displayName: string;
  readonly description: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly baseModelId: string;
  /** Without what would be a secret or makes sense at the exporting site alone; see {@link portableSource}. */
  readonly source?: Source;
  /** Its number where it was exported. */
  readonly version: number;
  readonly manifestDigest: string;
  readonly resolvedRevision: string;
  readonly license: string;
  readonly versionLabels: Readonly<Record<string, string>>;
}

/** Our own annotations begin so. */
export const PREFIX = "modelmanager.v1.";

const labelsShape = z.record(z.string(), z.string());

/** The facts of a version and its model. */
export function factsOf(model: Model, version: Version): Facts {
  return {
    modelId: model.id,
    modelType: model.type,
    displayName: model.displayName,
    description: model.description,
    labels: model.labels,
    baseModelId: model.baseModelId,
    source: model.source && portableSource(model.source),
    version: version.version,
    manifestDigest: version.manifestDigest,
    resolvedRevision: version.resolvedRevision,
    license: version.license,
    versionLabels: version.labels,
  };
}

/** Writes facts as annotations; what is empty is left out. */
export function factsToAnnotations(facts: Facts): Record<string, string> {
  const { source } = facts;
  const values: Record<string, string> = {
    model_id: facts.modelId,
    model_type: String(enumToJson(ModelTypeSchema, facts.modelType)),
    display_name: facts.displayName,
    description: facts.description,
    labels: labelsText(facts.labels),
    base_model_id: facts.baseModelId,
    source: source === undefined ? "" : canonicalJson(toJson(SourceSchema, source)),
    version: String(facts.version),
    manifest_digest: facts.manifestDigest,
    resolved_revision: facts.resolvedRevision,
    license: facts.license,
    version_labels: labelsText(facts.versionLabels),
  };
  const said = Object.entries(values).filter(([, value]) => value !== "");
  return Object.fromEntries(said.map(([name, value]) => [PREFIX + name, value]));
}

/**
 * Reads facts from the annotations of a manifest; undefined if another program made it.
 *
 * @throws CliError that names the annotation.
 */
export function factsFromAnnotations(annotations: Readonly<Record<string, string>>): Facts | undefined {
  const text = (name: string) => annotations[PREFIX + name] ?? "";
  if (text("model_id") === "") return undefined;
  return {
    modelId: text("model_id"),
    modelType: readAnnotation("model_type", text("model_type"), readType) ?? ModelType.OTHER,
    displayName: text("display_name"),
    description: text("description"),
    labels: readAnnotation("labels", text("labels"), readLabels) ?? {},
    baseModelId: text("base_model_id"),
    source: readAnnotation("source", text("source"), (json) => fromJson(SourceSchema, JSON.parse(json))),
    version: readAnnotation("version", text("version"), (digits) => z.coerce.number().int().parse(digits)) ?? 0,
    manifestDigest: text("manifest_digest"),
    resolvedRevision: text("resolved_revision"),
    license: text("license"),
    versionLabels: readAnnotation("version_labels", text("version_labels"), readLabels) ?? {},
  };
}

/**
 * A source as another site may have it: without the names of credentials, which are this site's, and without the queries
 * of URLs, which often carry signatures. A folder of this site's machine is no place there.
 */
export function portableSource(source: Source): Source {
  const portable = clone(SourceSchema, source);
  const { kind } = portable;
  if (kind.value !== undefined && "credential" in kind.value) kind.value.credential = "";
  if (kind.case === "local") portable.kind = { case: "upload", value: create(UploadSourceSchema) };
  if (kind.case === "http") {
    for (const file of kind.value.files) {
      file.url = withoutQuery(file.url);
      file.mirrors = file.mirrors.map(withoutQuery);
    }
  }
  return portable;
}

function withoutQuery(url: string): string {
  return url.replace(/[?#].*$/, "");
}

function labelsText(labels: Facts["labels"]): string {
  return Object.keys(labels).length === 0 ? "" : canonicalJson(labels);
}

function readLabels(json: string): Facts["labels"] {
  return labelsShape.parse(JSON.parse(json));
}

function readType(name: string): ModelType {
  if (!isEnumJson(ModelTypeSchema, name)) throw new Error("no such type");
  return enumFromJson(ModelTypeSchema, name);
}

/** Reads an annotation that is not empty. */
export function readAnnotation<Value>(name: string, text: string, read: (text: string) => Value): Value | undefined {
  if (text === "") return undefined;
  try {
    return read(text);
  } catch {
    throw new CliError(EXIT.failure, `the annotation ${PREFIX}${name} is malformed`);
  }
}
