import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { pack } from "tar-stream";

/** Files of a layout by their names. */
export type Layout = Map<string, Buffer>;

/** What a test wants otherwise than in a good layout. */
export interface LayoutOptions {
  /** The files of its one version by their paths. */
  readonly files?: Readonly<Record<string, string>>;
  readonly layerType?: string;
  readonly pathAnnotation?: string;
  /** Of the manifest. */
  readonly annotations?: Readonly<Record<string, string>>;
}

const MANIFEST = "application/vnd.oci.image.manifest.v1+json";

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** The name of bytes in a layout. */
export function blobName(bytes: Uint8Array): string {
  return `blobs/sha256/${sha256(bytes)}`;
}

/** A layout of one version, as other programs make them. */
export function makeLayout(options: LayoutOptions = {}): Layout {
  const { files = { "config.json": "{}", "model.gguf": "weights" } } = options;
  const layout: Layout = new Map();
  const add = (bytes: Buffer) => {
    layout.set(blobName(bytes), bytes);
    return { digest: `sha256:${sha256(bytes)}`, size: bytes.length };
  };
  const config = { mediaType: "application/vnd.oci.empty.v1+json", ...add(Buffer.from("{}")) };
  const layers = Object.entries(files).map(([path, text]) => ({
    mediaType: options.layerType ?? "application/octet-stream",
    ...add(Buffer.from(text)),
    annotations: { [options.pathAnnotation ?? "org.opencontainers.image.title"]: path },
  }));
  const manifest = { schemaVersion: 2, mediaType: MANIFEST, config, layers, annotations: options.annotations };
  const entry = { mediaType: MANIFEST, ...add(Buffer.from(JSON.stringify(manifest))) };
  const annotations = { "org.opencontainers.image.ref.name": "it:1" };
  layout.set("oci-layout", Buffer.from('{"imageLayoutVersion":"1.0.0"}'));
  layout.set("index.json", Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [{ ...entry, annotations }] })));
  return layout;
}

/** Writes a layout into a folder, which it answers. */
export async function writeLayout(folder: string, layout: Layout): Promise<string> {
  for (const [name, bytes] of layout) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), bytes);
  }
  return folder;
}

/** Writes entries into a tar, in their order; a text is the target of a link. */
export async function writeTarOf(path: string, entries: Iterable<readonly [string, Buffer | string]>): Promise<string> {
  const archive = pack();
  const written = pipeline(archive, createWriteStream(path));
  for (const [name, bytes] of entries) {
    if (typeof bytes === "string") archive.entry({ name, type: "symlink", linkname: bytes });
    else archive.entry({ name }, bytes);
  }
  archive.finalize();
  await written;
  return path;
}
