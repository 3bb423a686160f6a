import { pack } from "tar-stream";

/** An entry of an archive; a file unless it says otherwise. */
export interface TarEntry {
  readonly name: string;
  readonly type?: "file" | "link" | "symlink" | "directory" | "block-device" | "character-device" | "fifo";
  readonly linkname?: string;
  /** Fields of an extended header. */
  readonly pax?: Readonly<Record<string, string>>;
  readonly content?: Uint8Array;
}

/** A tar archive. */
export async function tar(...entries: readonly TarEntry[]): Promise<Buffer> {
  const archive = pack();
  for (const { content = new Uint8Array(), ...header } of entries) archive.entry(header, content);
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}
