import { createHash, type Hash } from "node:crypto";
import { parentPort } from "node:worker_threads";
import type { HashCommand, HashReply } from "./hash-messages.ts";

/** A thread that hashes; several streams of bytes can be open in it at once. */
const streams = new Map<number, { sha256: Hash; gitBlobSha1?: Hash }>();

function reply(message: HashReply, transfer: ArrayBuffer[] = []): void {
  parentPort?.postMessage(message, transfer);
}

parentPort?.on("message", (command: HashCommand) => {
  const { stream } = command;
  if (command.kind === "open") {
    const { gitBlobSize } = command;
    const gitBlobSha1 =
      gitBlobSize === undefined ? undefined : createHash("sha1").update(`blob ${gitBlobSize}\0`, "latin1");
    streams.set(stream, { sha256: createHash("sha256"), gitBlobSha1 });
    return;
  }
  const hashes = streams.get(stream);
  if (hashes === undefined) return;
  if (command.kind === "update") {
    const { bytes } = command;
    hashes.sha256.update(bytes);
    hashes.gitBlobSha1?.update(bytes);
    reply({ stream, memory: bytes.buffer }, [bytes.buffer]);
    return;
  }
  streams.delete(stream);
  if (command.kind === "digest") {
    const digests = { sha256: hashes.sha256.digest("hex"), gitBlobSha1: hashes.gitBlobSha1?.digest("hex") };
    reply({ stream, digests });
  }
});
