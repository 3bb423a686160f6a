import { once } from "node:events";
import { type FileHandle, open } from "node:fs/promises";
import http, { type IncomingMessage, type ServerResponse } from "node:http";
import https from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { join, normalize } from "node:path";
import type { Credentials } from "./certificates.ts";
import { type Pace, paceOf } from "./pace.ts";
import { bytesTwice, type Extent } from "./served-extents.ts";

const PIECE_BYTES = 256 * 1024;
const PIECES_A_SECOND = 40;

export interface FileOriginOptions {
  /** The folder whose files are served. */
  readonly root: string;
  /** Bytes a second of each TCP connection; default no limit. */
  readonly connectionRate?: number;
  /** Bytes a second of all connections together; default no limit. */
  readonly totalRate?: number;
  readonly tls?: Credentials;
}

/** What an origin has sent so far: bodies alone, and of them only what its kernel took. */
export interface Traffic {
  readonly bytes: number;
  /** Bytes that had been sent before. */
  readonly bytesTwice: number;
}

/** An honest web server of files on 127.0.0.1, with ranges and strong etags, whose speed can be limited. */
export interface FileOrigin {
  /** Scheme, host and port. */
  readonly base: string;
  traffic(): Traffic;
  close(): Promise<void>;
}

interface ServedFile {
  readonly handle: FileHandle;
  readonly size: number;
  readonly etag: string;
  readonly extents: Extent[];
}

/** Starts an origin on a free port. */
export async function startFileOrigin(options: FileOriginOptions): Promise<FileOrigin> {
  const files = new Map<string, Promise<ServedFile>>();
  const served: Extent[][] = [];
  const sockets = new Set<Socket>();
  const paces = new WeakMap<Socket, Pace>();
  const { root, connectionRate, totalRate, tls } = options;
  const slowest = Math.min(connectionRate ?? Infinity, totalRate ?? Infinity);
  const pieceBytes = Math.min(PIECE_BYTES, Math.ceil(slowest / PIECES_A_SECOND));
  const totalPace = totalRate === undefined ? undefined : paceOf(totalRate);

  const openFile = async (path: string): Promise<ServedFile> => {
    const handle = await open(join(root, path));
    const { size, mtimeMs } = await handle.stat();
    const extents: Extent[] = [];
    served.push(extents);
    return { handle, size, etag: `"${size.toString(16)}-${Math.round(mtimeMs).toString(16)}"`, extents };
  };
  const fileAt = (path: string): Promise<ServedFile> => {
    const file = files.get(path) ?? openFile(path);
    files.set(path, file);
    return file;
  };
  const wait = async (socket: Socket, bytes: number): Promise<void> => {
    await Promise.all([paces.get(socket)?.(bytes), totalPace?.(bytes)]);
  };
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const file = await fileAt(normalize(decodeURIComponent(request.url ?? "/"))).catch(() => undefined);
    if (file === undefined) return void response.writeHead(404).end();
    const { size, etag } = file;
    const range = rangeOf(request, file);
    const { start, end } = range ?? { start: 0, end: size };
    if (start >= end && size > 0) return void response.writeHead(416, { "content-range": `bytes */${size}` }).end();
    response.writeHead(range === undefined ? 200 : 206, {
      etag,
      "accept-ranges": "bytes",
      "content-length": end - start,
      ...(range === undefined ? {} : { "content-range": `bytes ${start}-${end - 1}/${size}` }),
    });
    if (request.method === "HEAD") return void response.end();
    const extent = { start, end: start };
    file.extents.push(extent);
    const buffer = Buffer.allocUnsafe(pieceBytes);
    while (extent.end < end && !response.destroyed) {
      const wanted = Math.min(pieceBytes, end - extent.end);
      const { bytesRead } = await file.handle.read(buffer, 0, wanted, extent.end);
      await wait(request.socket, bytesRead);
      if (bytesRead === 0 || !(await written(response, buffer.subarray(0, bytesRead)))) break;
      extent.end += bytesRead;
    }
    response.end();
  };

  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    answer(request, response).catch(() => response.destroy());
  };
  const server = tls ? https.createServer({ ...tls }, listener) : http.createServer(listener);
  server.on(tls ? "secureConnection" : "connection", (socket: Socket) => {
    sockets.add(socket);
    if (connectionRate !== undefined) paces.set(socket, paceOf(connectionRate));
    socket.once("close", () => sockets.delete(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    base: `${tls ? "https" : "http"}://127.0.0.1:${(server.address() as AddressInfo).port}`,
    traffic: () => ({
      bytes: served.flat().reduce((sum, { start, end }) => sum + end - start, 0),
      bytesTwice: served.reduce((sum, extents) => sum + bytesTwice(extents), 0),
    }),
    async close() {
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
      for (const file of await Promise.allSettled(files.values())) {
        if (file.status === "fulfilled") await file.value.handle.close();
      }
    },
  };
}

/** The Range of a request; undefined if the whole is to be sent. */
function rangeOf({ headers }: IncomingMessage, { size, etag }: ServedFile): Extent | undefined {
  const match = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? "");
  if (match === null || (headers["if-range"] !== undefined && headers["if-range"] !== etag)) return undefined;
  return { start: Number(match[1]), end: match[2] ? Math.min(Number(match[2]) + 1, size) : size };
}

/** Whether the kernel took all of a piece; resolves then, or when the connection is gone. */
function written(response: ServerResponse, piece: Buffer): Promise<boolean> {
  return new Promise((resolve) => {
    const gone = () => resolve(false);
    response.once("close", gone);
    response.write(piece, (error) => {
      response.off("close", gone);
      resolve(!error);
    });
  });
}
