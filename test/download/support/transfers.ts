import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import { join } from "node:path";
import { v7 as uuidv7 } from "uuid";
import type { Lease } from "../../../src/domain/ports/download-jobs.ts";
import type { SourceFile, Sources } from "../../../src/domain/ports/sources.ts";
import type { HttpFile } from "../../../src/domain/source.ts";
import { createTransfer, type TransferOptions } from "../../../src/download/transfer/engine.ts";
import type { Transfer, TransferRequest, TransferredFile } from "../../../src/download/transfer/transfer.ts";
import { systemClock } from "../../../src/lib/clock.ts";
import { httpSource, request, silent, testSources } from "../../sources/helpers.ts";

/** What a transfer told its observer. */
export interface Heard {
  kept: number;
  received: number;
  restarts: number;
  sizes: number[];
  verified: number;
  /** Why nothing came for a while. */
  waited: string[];
}

/** A folder of parts, sources that may reach loopback, and transfers between them. */
export interface Bench {
  readonly spool: string;
  readonly sources: Sources;
  /** Another process, as far as parts are concerned; retries wait next to nothing unless told otherwise. */
  process(options?: Partial<TransferOptions>): Promise<Transfer>;
  /** The file of an http source. */
  file(file: Partial<HttpFile> & { url: string }): Promise<SourceFile>;
  close(): Promise<void>;
}

/** Makes a bench below the system's temporary folder. */
export async function createBench(): Promise<Bench> {
  const spool = await mkdtemp(join(os.tmpdir(), "transfer-"));
  const sources = testSources();
  const processes: Transfer[] = [];
  return {
    spool,
    sources,
    async process(options = {}) {
      const transfer = await createTransfer({
        spool,
        log: silent,
        clock: systemClock,
        random: () => 0,
        isLive: async () => true,
        maxConnections: 8,
        backoff: { baseMs: 2, maxMs: 10 },
        ...options,
      });
      processes.push(transfer);
      return transfer;
    },
    async file(file) {
      const resolved = await sources.resolve(httpSource({ path: "model.bin", ...file }), request());
      const [first] = resolved.files;
      if (first === undefined) throw new Error("no file");
      return first;
    },
    async close() {
      await Promise.all(processes.map((transfer) => transfer.close()));
      await sources.close();
      await rm(spool, { recursive: true });
    },
  };
}

/** A lease of a download that nobody else has. */
export function newLease(): Lease {
  return { downloadId: uuidv7(), epoch: 1 };
}

/** Transfers a file and says what was heard of it; `onKept` and `onReceived` are told all bytes so far. */
export function watchTransfer(
  transfer: Transfer,
  file: SourceFile,
  options: Partial<TransferRequest> & {
    onKept?: (bytes: number) => void;
    onReceived?: (bytes: number) => void;
  } = {},
): { heard: Heard; done: Promise<TransferredFile> } {
  const heard: Heard = { kept: 0, received: 0, restarts: 0, sizes: [], verified: 0, waited: [] };
  const done = transfer.transferFile({
    lease: newLease(),
    file,
    limiter: { quantum: 8 * 1024 * 1024, take: async () => {} },
    signal: new AbortController().signal,
    observer: {
      sized: (size) => heard.sizes.push(size),
      kept: (bytes) => {
        heard.kept += bytes;
        options.onKept?.(heard.kept);
      },
      received: (bytes) => {
        heard.received += bytes;
        options.onReceived?.(heard.received);
      },
      restarted: async () => {
        heard.restarts += 1;
      },
      verifying: () => {
        heard.verified += 1;
      },
      waiting: (failure) => {
        if (failure !== undefined) heard.waited.push(failure.reason);
      },
    },
    ...options,
  });
  // Whoever awaits it later still gets the error.
  done.catch(() => {});
  return { heard, done };
}

/** Transfers a file, lets so many of its bytes in, and breaks off then. */
export async function transferUntil(
  transfer: Transfer,
  file: SourceFile,
  bytes: number,
  options: Partial<TransferRequest> = {},
): Promise<Heard> {
  const stop = new AbortController();
  let left = bytes;
  const { heard, done } = watchTransfer(transfer, file, {
    ...options,
    signal: stop.signal,
    limiter: {
      quantum: 64 * 1024,
      async take(wanted, signal) {
        left -= wanted;
        if (left < 0) await new Promise((_resolve, reject) => signal.addEventListener("abort", reject));
      },
    },
    onReceived: (received) => {
      if (received >= bytes) stop.abort(new Error("broken off by the test"));
    },
  });
  await done.then(
    () => Promise.reject(new Error("the transfer was not broken off")),
    (error) => {
      if (!stop.signal.aborted) throw error;
    },
  );
  return heard;
}
