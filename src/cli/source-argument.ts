import { existsSync } from "node:fs";
import { basename, isAbsolute, resolve } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Source, SourceSchema } from "../../gen/modelmanager/v1/source_pb.ts";
import { parseS3Uri } from "../lib/s3-uri.ts";
import { CliError } from "./cli-error.ts";
import { EXIT } from "./exit-codes.ts";

/** What `pull` was asked for. */
export interface SourceArgument {
  /** The place alone: revision and patterns belong to a download, not to the model. */
  readonly source: MessageInitShape<typeof SourceSchema>;
  /** Empty for the source's own. */
  readonly revision: string;
  /** The model's id unless `--id` says another. */
  readonly defaultId: string;
}

const ACCEPTED =
  "give hf:<org>/<name>[@<revision>], oci:<host>/<repository>[:<tag>], ollama:<name>[:<tag>], s3://<bucket>/<prefix>/, an http or https URL, or the path of a folder or a file";

/** Where Ollama's models are. */
const OLLAMA = "registry.ollama.ai";

/** Ends of file names that say the format and not the name. */
const WEIGHTS_EXTENSION = /\.(?:gguf|safetensors|bin|pth?|onnx|ckpt|tar|tar\.gz|tgz|zip)$/i;

/**
 * Reads the source that `pull` takes: `hf:org/name[@revision]` (or the address of the repository's page), an http(s) URL
 * of one file, `s3://bucket/key` of an object or, with a slash at its end, of a prefix, or a path on the service's machine; a
 * relative one is taken from the working folder.
 *
 * An artifact in an OCI registry is `oci:host/repository:tag`, or with `@sha256:…`, and one of Ollama's `ollama:name:tag` or
 * `ollama:user/name:tag`. Of the first the place is the repository, whose tags are revisions; of the second it includes the
 * tag, since tags of one name there are models of different sizes.
 *
 * The default id is the repository's name as it is (of a registry's its last two segments, of Ollama's with the tag), or else
 * the name of the file, folder or prefix without its extension.
 *
 * @throws CliError for what is none of these.
 */
export function parseSource(text: string): SourceArgument {
  const repository = /^hf:(?:\/\/)?(.*)$/i.exec(text)?.[1] ?? repositoryOfPage(text);
  if (repository !== undefined) return huggingFaceSource(text, repository);
  if (/^https?:\/\//i.test(text)) return httpSource(text);
  if (/^s3:/i.test(text)) return s3Source(text);
  if (/^oci:/i.test(text)) return ociSource(text);
  if (/^ollama:/i.test(text)) return ollamaSource(text);
  if (/^[a-z][a-z0-9+.-]+:/i.test(text))
    throw new CliError(EXIT.usage, `${text}: not a kind of source`, { hint: ACCEPTED });
  return localSource(text);
}

/** Whether a model's source is the place that was asked for. */
export function isSamePlace(
  source: Source | undefined,
  { source: { kind: asked }, revision }: SourceArgument,
): boolean {
  const kind = source?.kind;
  if (kind?.case === "huggingface" && asked?.case === "huggingface") return kind.value.repo === asked.value.repo;
  if (kind?.case === "local" && asked?.case === "local") return kind.value.path === asked.value.path;
  if (kind?.case === "s3" && asked?.case === "s3") {
    return kind.value.uri === asked.value.uri && kind.value.endpoint === (asked.value.endpoint ?? "");
  }
  if (kind?.case === "oci" && asked?.case === "oci") {
    const { reference } = asked.value;
    return ["", `:${revision}`, `@${revision}`].some((end) => kind.value.reference === `${reference}${end}`);
  }
  if (kind?.case === "http" && asked?.case === "http") {
    const urls = (files: readonly { url?: string }[] = []) => JSON.stringify(files.map((file) => file.url));
    return urls(kind.value.files) === urls(asked.value.files);
  }
  return false;
}

function huggingFaceSource(text: string, repository: string): SourceArgument {
  const [, repo, revision = ""] = /^([^@\s/]+(?:\/[^@\s/]+)?)(?:@(\S+))?$/.exec(repository) ?? [];
  if (repo === undefined) throw new CliError(EXIT.usage, `${text}: not the name of a repository`, { hint: ACCEPTED });
  return { source: { kind: { case: "huggingface", value: { repo } } }, revision, defaultId: repo };
}

/** The repository whose page on the hub this is: people copy that address. Addresses of its files are not meant. */
function repositoryOfPage(text: string): string | undefined {
  const page = /^https:\/\/(?:huggingface\.co|hf\.co)\/([^/?#]+\/[^/?#]+)(?:\/tree\/([^?#]+?))?\/?(?:[?#].*)?$/i.exec(
    text,
  );
  if (page === null || /^(?:datasets|spaces|docs|api)\//.test(page[1] ?? "")) return undefined;
  return page[2] === undefined ? page[1] : `${page[1]}@${decodeURIComponent(page[2])}`;
}

function ociSource(text: string): SourceArgument {
  const [, reference, tag, digest] =
    /^oci:(?:\/\/)?((?:https?:\/\/)?[^/@\s]+\/[^:@\s]+)(?::([^:@/\s]+))?(?:@(sha256:[0-9a-f]{64}))?$/i.exec(text) ?? [];
  const path = reference
    ?.replace(/^https?:\/\//i, "")
    .split("/")
    .slice(1);
  if (path === undefined) throw new CliError(EXIT.usage, `${text}: not an artifact in a registry`, { hint: ACCEPTED });
  const defaultId = path.slice(-2).join("/");
  return { source: { kind: { case: "oci", value: { reference } } }, revision: digest ?? tag ?? "", defaultId };
}

function ollamaSource(text: string): SourceArgument {
  const [, user = "library", name, tag] =
    /^ollama:(?:\/\/)?(?:([^/:@\s]+)\/)?([^/:@\s]+)(?::([^/:@\s]+))?$/i.exec(text) ?? [];
  if (name === undefined) throw new CliError(EXIT.usage, `${text}: not a model of Ollama's`, { hint: ACCEPTED });
  const reference = `${OLLAMA}/${user}/${name}${tag === undefined ? "" : `:${tag}`}`;
  const id = tag === undefined || tag === "latest" ? name : `${name}-${tag}`;
  const defaultId = user === "library" ? id : `${user}/${id}`;
  return { source: { kind: { case: "oci", value: { reference } } }, revision: "", defaultId };
}

function httpSource(text: string): SourceArgument {
  if (!URL.canParse(text)) throw new CliError(EXIT.usage, `${text}: not a URL`, { hint: ACCEPTED });
  const { pathname, hostname } = new URL(text);
  const name = pathname.split("/").findLast((segment) => segment !== "");
  return {
    source: { kind: { case: "http", value: { files: [{ url: text }] } } },
    revision: "",
    defaultId: idOf(name === undefined ? hostname : decode(name)),
  };
}

function s3Source(text: string): SourceArgument {
  const place = parseS3Uri(text);
  if (place === undefined) throw new CliError(EXIT.usage, `${text}: not s3://<bucket>/<key>`, { hint: ACCEPTED });
  const { bucket, key } = place;
  const name = key.split("/").findLast((segment) => segment !== "");
  return {
    source: { kind: { case: "s3", value: { uri: `s3://${bucket}/${key}` } } },
    revision: "",
    defaultId: idOf(name ?? bucket),
  };
}

function localSource(text: string): SourceArgument {
  const path = resolve(text);
  // An absolute path may be right on the service's machine and not be here.
  if (!isAbsolute(text) && !existsSync(path)) {
    const hint = /^\w[\w.-]*\/[\w.-]+(?:@\S+)?$/.test(text)
      ? `for a repository on Hugging Face say hf:${text}`
      : ACCEPTED;
    throw new CliError(EXIT.usage, `${text}: there is no such file or folder`, { hint });
  }
  return { source: { kind: { case: "local", value: { path } } }, revision: "", defaultId: idOf(basename(path)) };
}

/** A name as an id of one segment: without the extension of weights, other characters turned into `-`. */
function idOf(name: string): string {
  const id = name
    .replace(WEIGHTS_EXTENSION, "")
    .replace(/[^A-Za-z0-9._-]+/g, "-")
    .replace(/\.{2,}/g, ".")
    .replace(/^[^A-Za-z0-9]+/, "")
    .slice(0, 96);
  if (id === "") throw new CliError(EXIT.usage, `no id can be made of '${name}'`, { hint: "choose one with --id" });
  return id;
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
