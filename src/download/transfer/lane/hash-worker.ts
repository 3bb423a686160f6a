import { createHash, type Hash } from "node:crypto";
import { readSync } from "node:fs";
import { type MessagePort, workerData } from "node:worker_threads";
import { BLOCK_BYTES } from "../parts/blocks.ts";
import type { HashCommand, HashReply } from "./hash-messages.ts";

/** A thread that hashes for one lane; several streams of bytes can be open in it at once. */
const port: MessagePort = workerData.port;
const streams = new Map<number, { sha256: Hash; gitBlobSha1?: Hash }>();
const buffer = Buffer.allocUnsafeSlow(BLOCK_BYTES);
let memory = new SharedArrayBuffer(0);

function update(stream: number, bytes: Uint8Array): void {
  const hashes = streams.get(stream);
  hashes?.sha256.update(bytes);
  hashes?.gitBlobSha1?.update(bytes);
}

function read({ stream, fd, position, length }: HashCommand & { kind: "read" }): void {
  for (let done = 0; done < length; ) {
    const count = readSync(fd, buffer, 0, Math.min(buffer.length, length - done), position + done);
    if (count === 0) throw new Error("the part is shorter than its journal says");
    update(stream, buffer.subarray(0, count));
    done += count;
  }
}

function handle(command: HashCommand): HashReply | undefined {
  switch (command.kind) {
    case "memory":
      memory = command.memory;
      return undefined;
    case "open": {
      const { stream, gitBlobSize } = command;
      const gitBlobSha1 =
        gitBlobSize === undefined ? undefined : createHash("sha1").update(`blob ${gitBlobSize}\0`, "latin1");
      streams.set(stream, { sha256: createHash("sha256"), gitBlobSha1 });
      return undefined;
    }
    case "slab":
      update(command.stream, new Uint8Array(memory, command.slab * BLOCK_BYTES, command.length));
      return {};
    case "read":
      read(command);
      return {};
    case "digest": {
      const hashes = streams.get(command.stream);
      streams.delete(command.stream);
      if (hashes === undefined) throw new Error("the stream is not open");
      return { digests: { sha256: hashes.sha256.digest("hex"), gitBlobSha1: hashes.gitBlobSha1?.digest("hex") } };
    }
    case "drop":
      streams.delete(command.stream);
      return undefined;
  }
}

port.on("message", (command: HashCommand) => {
  let reply: HashReply | undefined;
  try {
    reply = handle(command);
  } catch (error) {
    reply = { error };
  }
  if (reply !== undefined) port.postMessage(reply);
});
