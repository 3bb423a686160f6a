import { once } from "node:events";
import { rm } from "node:fs/promises";
import net from "node:net";
import { join } from "node:path";
import { DomainError } from "../../domain/errors.ts";

/** The sign that a living service owns a data folder's server. */
export interface OwnerSocket {
  close(): Promise<void>;
}

/**
 * Listens on a socket beside the server's for as long as this process owns the server. It tells a server in use from one
 * that outlived its service, also where nothing can be locked: unlike a file with a process id, a socket without a
 * listener is stale for sure.
 *
 * @throws DomainError RESOURCE_IN_USE if another process owns the folder.
 */
export async function announceOwner(socketDirectory: string): Promise<OwnerSocket> {
  const path = ownerPath(socketDirectory);
  if (await answers(path)) throw directoryInUse();
  await rm(path, { force: true });
  const listener = net.createServer((connection) => connection.destroy());
  listener.listen(path);
  try {
    await once(listener, "listening");
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === "EADDRINUSE" ? directoryInUse(error) : error;
  }
  const closed = once(listener, "close");
  return {
    async close() {
      listener.close(); // which removes the socket's file too
      await closed;
    },
  };
}

/** Whether a living service owns the server that has its socket in this folder. */
export async function hasOwner(socketDirectory: string): Promise<boolean> {
  return await answers(ownerPath(socketDirectory));
}

function ownerPath(socketDirectory: string): string {
  return join(socketDirectory, "owner");
}

/** Whether somebody listens on a unix socket. */
export async function answers(path: string): Promise<boolean> {
  const socket = new net.Socket();
  try {
    socket.connect(path);
    await once(socket, "connect");
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EAGAIN"; // a listener whose queue is full
  } finally {
    socket.destroy();
  }
}

/** The error for a data folder that another process serves. */
export function directoryInUse(cause?: unknown): DomainError {
  return new DomainError(
    "RESOURCE_IN_USE",
    "another process serves this data folder: stop it first, or use another data folder",
    { cause },
  );
}
