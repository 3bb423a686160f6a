import { createHash } from "node:crypto";
import { once } from "node:events";
import { open } from "node:fs/promises";
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { type Digest, digestOfHex } from "../../domain/digest.ts";
import { systemCode } from "../../lib/system-error.ts";
import { ArchiveBroken } from "./archive-guard.ts";
import { readArchive } from "./read-archive.ts";
import type { EntryOrder, UnpackData, UnpackNews } from "./unpack-messages.ts";

/** A thread that unpacks one archive: it tells of each entry, waits for an order, writes and hashes beside. */
async function unpack(port: MessagePort, data: UnpackData): Promise<void> {
  const tell = (news: UnpackNews) => port.postMessage(news);
  for await (const { entry, content } of readArchive(data)) {
    tell({ kind: "entry", entry });
    const [order] = (await once(port, "message")) as [EntryOrder];
    if ("dataPath" in order) tell({ kind: "written", digest: await write(order.dataPath, content) });
  }
  tell({ kind: "end" });
}

async function write(path: string, content: AsyncIterable<Buffer>): Promise<Digest> {
  const hash = createHash("sha256");
  await using file = await open(path, "r+");
  for await (const chunk of content) {
    hash.update(chunk);
    await file.writeFile(chunk);
  }
  await file.sync();
  return digestOfHex(hash.digest("hex"));
}

function newsOf(error: unknown): UnpackNews {
  if (error instanceof ArchiveBroken) return { kind: "broken", rule: error.message };
  return { kind: "fault", code: systemCode(error), message: String(error) };
}

if (parentPort !== null) {
  const port = parentPort;
  unpack(port, workerData as UnpackData)
    .catch((error: unknown) => port.postMessage(newsOf(error)))
    .finally(() => port.close());
}
