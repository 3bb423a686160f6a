import { open, readFile, rename, rm } from "node:fs/promises";
import { z } from "zod";

const schema = z.object({
  format: z.literal(1),
  /** Bytes from the file's start that were handed to the system: they outlive the process, not the machine. */
  written: z.int().nonnegative(),
  /** Bytes from the file's start that are on the disk: they outlive the machine. */
  synced: z.int().nonnegative(),
  /** Bytes of the whole file, once known. */
  size: z.int().nonnegative().optional(),
  /** Pins the object at `origin`. */
  validator: z.string().optional(),
  /** Which of the file's origins the bytes came from last. */
  origin: z.string().optional(),
  /** The boot of the machine that `written` holds for; empty if it cannot be told. */
  bootId: z.string(),
  /** The process that wrote the part. */
  writer: z.string(),
});

/** What is noted beside a part, so that it can be continued. */
export type PartRecord = Omit<z.infer<typeof schema>, "format">;

/** The record at `path`, or undefined if there is none that can be read. */
export async function readRecord(path: string): Promise<PartRecord | undefined> {
  try {
    return schema.parse(JSON.parse(await readFile(path, "utf8")));
  } catch {
    return undefined;
  }
}

/** Where the record that is to replace the one at `path` is written. */
export function temporaryOf(path: string): string {
  return `${path}.tmp`;
}

/** Replaces the record at `path` in one step; `durable` makes it outlive the machine too. */
export async function writeRecord(path: string, record: PartRecord, durable: boolean): Promise<void> {
  const temporary = temporaryOf(path);
  try {
    const handle = await open(temporary, "w", 0o640);
    try {
      await handle.writeFile(JSON.stringify({ format: 1, ...record }));
      if (durable) await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** The running boot of this machine, or empty where the system does not tell. */
export async function readBootId(): Promise<string> {
  try {
    return (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
  } catch {
    return "";
  }
}
