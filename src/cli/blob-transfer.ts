import type { Readable } from "node:stream";
import { setTimeout } from "node:timers/promises";
import type { JsonValue } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { errorFromJson } from "@connectrpc/connect/protocol-connect";
import { Agent, type Dispatcher, request } from "undici";
import { errorReason } from "../client/error-details.ts";
import type { Digest } from "../domain/digest.ts";
import { type Backoff, backoffMs } from "../lib/backoff.ts";
import { parseContentLength, parseContentRange } from "../lib/http/content-range.ts";
import { isAway } from "./call-error.ts";
import { CliError } from "./cli-error.ts";
import type { ServiceAddress } from "./connection.ts";

/** A blob to send: its name, its size in bytes, and its bytes from any place on; what `open` cannot read is a CliError. */
export interface BlobToSend {
  readonly digest: Digest;
  readonly size: number;
  open(start: number): Readable;
}

/** Moves blobs between this program and the service over HTTP. What a broken connection cost is made up for by itself. */
export interface BlobTransfer {
  /** The size of a blob that the service has; undefined if it has none. */
  stat(digest: Digest, signal: AbortSignal): Promise<number | undefined>;
  /**
   * The bytes of a blob of this size from `start` on. Whether they are those of the digest is for the caller to check.
   *
   * @throws ConnectError
   */
  read(digest: Digest, size: number, start: number, signal: AbortSignal): AsyncGenerator<Buffer, void>;
  /**
   * Sends a blob unless the service has it, going on where an earlier attempt stopped; `onProgress` hears how many of its
   * bytes are there.
   *
   * @returns how many of its bytes were not there before.
   * @throws ConnectError, DATA_LOSS if its bytes are not those of the digest.
   */
  send(blob: BlobToSend, signal: AbortSignal, onProgress?: (there: number) => void): Promise<number>;
  close(): Promise<void>;
}

/** Blobs up to this size are sent without asking first how much of them is there. */
const SMALL_BYTES = 256 * 1024;
/** How often in a row a blob may fail for the network's or the service's absence without a byte getting through. */
const MAX_FAILURES = 6;
const BACKOFF: Backoff = { baseMs: 250, maxMs: 5_000 };
/** The service answers a sent blob when it has hashed and synced it. */
const ANSWER_MS = 10 * 60_000;

/** Opens a transfer with the service at an address; nothing is connected before the first use. */
export async function openBlobTransfer({ server, token, tls }: ServiceAddress): Promise<BlobTransfer> {
  const agent = new Agent({ connect: { ...tls }, allowH2: false, headersTimeout: ANSWER_MS, bodyTimeout: 60_000 });
  const authorization: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };

  async function ask(
    method: "GET" | "HEAD" | "PUT",
    digest: Digest,
    signal: AbortSignal,
    headers: Record<string, string>,
    body?: Readable,
  ): Promise<Dispatcher.ResponseData> {
    try {
      return await request(`${server}/blobs/${digest}`, {
        method,
        headers: { ...authorization, ...headers },
        body: body ?? null,
        dispatcher: agent,
        signal,
      });
    } catch (error) {
      throw unreachable(error, signal);
    } finally {
      body?.destroy();
    }
  }

  async function* read(digest: Digest, size: number, start: number, signal: AbortSignal) {
    let at = start;
    for (let failures = 0; at < size; ) {
      try {
        const answer = await ask("GET", digest, signal, at === 0 ? {} : { range: `bytes=${at}-` });
        await assertWanted(answer, at, size);
        for await (const chunk of answer.body as AsyncIterable<Buffer>) {
          failures = 0;
          at += chunk.length;
          yield chunk;
        }
        if (at > size) throw misbehaved("sent more of a blob than it announced");
        if (at < size) throw new ConnectError("the answer broke off", Code.Unavailable);
      } catch (error) {
        failures += 1;
        await waitToRetry(unreachable(error, signal), failures, signal);
      }
    }
  }

  /** Sends the bytes from `start` on; answers how many are there then. */
  async function put(
    { digest, size, open }: BlobToSend,
    start: number,
    signal: AbortSignal,
    tick: (n: number) => void,
  ) {
    const range: Record<string, string> = start === 0 ? {} : { "content-range": `bytes ${start}-${size - 1}/${size}` };
    const body = open(start);
    body.on("data", (chunk: Buffer) => tick(chunk.length));
    body.pause();
    // What ends it comes out of the request as well.
    body.on("error", () => {});
    return settle(await ask("PUT", digest, signal, { ...range, "content-length": String(size - start) }, body), size);
  }

  /** How many bytes of a blob are there. */
  async function askHowFar(digest: Digest, size: number, signal: AbortSignal): Promise<number> {
    const headers = { "content-range": `bytes */${size}`, "content-length": "0" };
    return settle(await ask("PUT", digest, signal, headers), size);
  }

  return {
    async stat(digest, signal) {
      for (let failures = 1; ; failures++) {
        try {
          const answer = await ask("HEAD", digest, signal, {});
          await answer.body.dump();
          if (answer.statusCode === 404) return undefined;
          const size = parseContentLength(header(answer, "content-length"));
          if (answer.statusCode === 200 && size !== undefined) return size;
          throw statusError(answer.statusCode);
        } catch (error) {
          await waitToRetry(error, failures, signal);
        }
      }
    },
    read,
    async send(blob, signal, onProgress = () => {}) {
      let first: number | undefined;
      let best = 0;
      let unsure = blob.size > SMALL_BYTES;
      for (let failures = 0; ; ) {
        try {
          const start = unsure ? await askHowFar(blob.digest, blob.size, signal) : 0;
          first ??= start;
          if (start > best) failures = 0;
          best = Math.max(best, start);
          onProgress(start);
          if (unsure && start === blob.size) return start - first;
          let at = start;
          const there = await put(blob, start, signal, (bytes) => {
            at += bytes;
            onProgress(at);
          });
          if (there === blob.size) return blob.size - first;
          throw new ConnectError("the service has not got all of it", Code.Unavailable);
        } catch (error) {
          failures += 1;
          unsure = true;
          await waitToRetry(error, failures, signal);
        }
      }
    },
    close: () => agent.destroy(),
  };
}

/** Waits before the next attempt; throws what will not go away by itself, or has not for too long. */
async function waitToRetry(error: unknown, failures: number, signal: AbortSignal): Promise<void> {
  // The service may not have noticed yet that an earlier connection is gone.
  const mayPass = isAway(error) || errorReason(error) === "OPERATION_CONFLICT";
  if (signal.aborted || !mayPass || failures >= MAX_FAILURES) throw error;
  await setTimeout(backoffMs(BACKOFF, failures, Math.random), undefined, { signal });
}

/** Reads the answer to a PUT: how many bytes of the blob are there, all of them if it is verified. */
async function settle(answer: Dispatcher.ResponseData, size: number): Promise<number> {
  const { statusCode } = answer;
  if (statusCode === 200 || statusCode === 201) {
    await answer.body.dump();
    return size;
  }
  if (statusCode !== 308 && statusCode !== 416) throw await refusal(answer);
  await answer.body.dump();
  const last = /^bytes=0-(\d{1,15})$/.exec(header(answer, "range") ?? "")?.[1];
  return last === undefined ? 0 : Math.min(size - 1, Number(last) + 1);
}

async function assertWanted(answer: Dispatcher.ResponseData, at: number, size: number): Promise<void> {
  const { statusCode } = answer;
  if (statusCode !== 200 && statusCode !== 206) throw await refusal(answer);
  const range =
    statusCode === 200
      ? { start: 0, total: parseContentLength(header(answer, "content-length")) }
      : parseContentRange(header(answer, "content-range"));
  if (range?.start === at && range.total === size) return;
  answer.body.destroy();
  throw misbehaved("did not answer with the part of the blob that was asked for");
}

/** The error that an answer carries, in the shape that Connect uses. */
async function refusal(answer: Dispatcher.ResponseData): Promise<ConnectError> {
  const fallback = statusError(answer.statusCode);
  try {
    return errorFromJson((await answer.body.json()) as JsonValue, undefined, fallback);
  } catch {
    return fallback;
  }
}

function statusError(status: number): ConnectError {
  if (status === 401) return new ConnectError("the service wants a token", Code.Unauthenticated);
  if (status === 404) return new ConnectError("the service has no such blob", Code.NotFound);
  const code = status === 502 || status === 503 || status === 504 ? Code.Unavailable : Code.FailedPrecondition;
  return new ConnectError(`the service answered with HTTP status ${status}`, code);
}

function misbehaved(what: string): ConnectError {
  return new ConnectError(`the service ${what}`, Code.DataLoss);
}

/** What the network raised, as a call raises it. What the bytes' own place raised, as a CliError, stays what it is. */
function unreachable(error: unknown, signal: AbortSignal): unknown {
  if (signal.aborted || error instanceof ConnectError || error instanceof CliError) return error;
  return new ConnectError(
    error instanceof Error ? error.message : String(error),
    Code.Unavailable,
    undefined,
    undefined,
    error,
  );
}

function header({ headers }: Dispatcher.ResponseData, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? undefined : value;
}
