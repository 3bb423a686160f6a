import { invalidField } from "../../domain/errors.ts";
import { assertFilePath } from "../../domain/file-path.ts";
import type { ArchiveFormat } from "../../domain/ports/sources.ts";
import type { Descriptor, Manifest } from "./manifest.ts";

/** A file of an artifact, or an archive of several. */
export interface LayerFile {
  readonly path: string;
  readonly descriptor: Descriptor;
  /** Set for an archive. */
  readonly format?: ArchiveFormat;
  /** Set for an archive whose path is that of what it holds: one file, as a rule. Others may hold whatever. */
  readonly single?: boolean;
}

const TITLE = "org.opencontainers.image.title";
const UNPACK = "io.deis.oras.content.unpack";
const FILE_PATH = "org.cncf.model.filepath";
/** The same in the specification's first drafts. */
const FORMER_FILE_PATH = "org.cnai.model.filepath";

const MODEL_PACK = /^application\/vnd\.(?:cncf|cnai)\.model\.([a-z.]+)\.v\d+\.(?:raw|tar(?:\+(?:gzip|zstd))?)$/;
const KITOPS = /^application\/vnd\.kitops\.modelkit\.([a-z]+)\.v\d+\.tar(?:\+(?:gzip|zstd))?$/;
const OLLAMA = /^application\/vnd\.ollama\.image\.([a-z]+)$/;
const KIT_CONFIG = /^application\/vnd\.kitops\.modelkit\.config\.v\d+\+json$/;
const CONTAINER_LAYER = /^application\/vnd\.(?:oci\.image\.layer|docker\.image\.rootfs)\./;
/** Stands for nothing, where a manifest must have a layer. */
const EMPTY = "application/vnd.oci.empty.v1+json";

/** What Ollama's kinds of layers are called as files; others go by their kind. */
const OLLAMA_FILES: Readonly<Record<string, string>> = {
  model: "model.gguf",
  adapter: "adapter.gguf",
  projector: "projector.gguf",
  params: "params.json",
  messages: "messages.json",
};

/** Numbers the layers of one name, from the second on. */
type Numbering = (name: string) => string;

/**
 * The files that a manifest's layers are, in its order. They are named by ModelPack's annotation for the path or ORAS's for the
 * title; Ollama's and KitOps's by the layer's kind, with a number from the second of a kind on. KitOps's configuration is the
 * `Kitfile`. FIELD_INVALID, naming the layer, for a name that no version can have and for a layer that is no file.
 */
export function layerFiles({ config, layers }: Manifest): LayerFile[] {
  const counts = new Map<string, number>();
  const numbered = (name: string) => {
    const count = (counts.get(name) ?? 0) + 1;
    counts.set(name, count);
    return count === 1 ? name : name.replace(/^([^.]*)/, `$1-${count}`);
  };
  const files = layers.flatMap((descriptor, index) =>
    descriptor.mediaType === EMPTY ? [] : [layerFile(descriptor, nameOfLayer(descriptor, index), numbered)],
  );
  return KIT_CONFIG.test(config.mediaType) ? [...files, { path: "Kitfile", descriptor: config }] : files;
}

function layerFile(descriptor: Descriptor, layer: string, numbered: Numbering): LayerFile {
  const { mediaType } = descriptor;
  const annotations = descriptor.annotations ?? {};
  const title = annotations[TITLE];
  const archive = archiveOf(mediaType);

  const [, part] = MODEL_PACK.exec(mediaType) ?? [];
  if (part !== undefined) {
    const said = annotations[FILE_PATH] ?? annotations[FORMER_FILE_PATH] ?? title;
    if (archive !== undefined && said === undefined) {
      return { path: numbered(`${part}.tar`), descriptor, format: archive };
    }
    return { path: checked(layer, FILE_PATH, said), descriptor, format: archive, single: archive && true };
  }
  const [, kitPart] = KITOPS.exec(mediaType) ?? [];
  if (kitPart !== undefined) {
    return { path: numbered(`${kitPart}.tar`), descriptor, format: archive };
  }

  const [, ollamaPart] = OLLAMA.exec(mediaType) ?? [];
  if (ollamaPart !== undefined && title === undefined) {
    return { path: numbered(OLLAMA_FILES[ollamaPart] ?? ollamaPart), descriptor };
  }
  if (CONTAINER_LAYER.test(mediaType) && title === undefined) {
    throw invalidField(layer, "must be a file: it is part of a container's file system");
  }
  const format = annotations[UNPACK] === "true" ? (archive ?? "tar+gzip") : undefined;
  return { path: checked(layer, TITLE, title), descriptor, format };
}

function nameOfLayer({ mediaType, digest }: Descriptor, index: number): string {
  return `layer ${index + 1} (${mediaType}, ${digest})`;
}

function archiveOf(mediaType: string): ArchiveFormat | undefined {
  const [isArchive, compression] = /[.+]tar(?:[.+](gzip|zstd))?$/.exec(mediaType) ?? [];
  if (isArchive === undefined) return undefined;
  return compression === "gzip" || compression === "zstd" ? `tar+${compression}` : "tar";
}

function checked(layer: string, annotation: string, path: string | undefined): string {
  if (path === undefined) throw invalidField(layer, `must have the annotation '${annotation}', which names its file`);
  assertFilePath(`the annotation '${annotation}' of ${layer}`, path);
  return path;
}
