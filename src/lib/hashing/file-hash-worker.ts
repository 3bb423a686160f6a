import { createHash, type Hash } from "node:crypto";
import { readSync } from "node:fs";
import { parentPort } from "node:worker_threads";
import type { HashReply, HashRequest } from "./hash-thread.ts";

const STEP_BYTES = 8 * 1024 * 1024;
const BUFFER_BYTES = 1024 * 1024;

/** A thread that reads and hashes open files, a step at each message; several can be under way at once. */
const files = new Map<number, { hash: Hash; position: number }>();
const buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);

function step(file: number, fd: number, isWhole: boolean): HashReply {
  const state = files.get(file) ?? { hash: createHash("sha256"), position: 0 };
  files.set(file, state);
  const begin = state.position;
  while (state.position - begin < STEP_BYTES) {
    const bytes = readSync(fd, buffer, 0, buffer.length, state.position);
    if (bytes === 0) {
      if (!isWhole) break;
      files.delete(file);
      return { file, bytes: state.position - begin, hex: state.hash.digest("hex") };
    }
    state.hash.update(bytes === buffer.length ? buffer : buffer.subarray(0, bytes));
    state.position += bytes;
  }
  return { file, bytes: state.position - begin };
}

parentPort?.on("message", (request: HashRequest) => {
  const { file } = request;
  if ("drop" in request) {
    files.delete(file);
    return;
  }
  try {
    parentPort?.postMessage(step(file, request.fd, request.isWhole));
  } catch (error) {
    files.delete(file);
    // An error that is cloned loses its code.
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    parentPort?.postMessage({ file, code, message: String(error) } satisfies HashReply);
  }
});
