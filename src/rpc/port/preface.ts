import type { Socket } from "node:net";

/** What every HTTP/2 client sends first (RFC 9113, section 3.4). */
const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

/** The protocol of a connection in clear. */
export type ClearProtocol = "http/1.1" | "h2";

/**
 * Finds out from its first bytes which protocol a connection speaks, and gives the bytes back to the socket.
 *
 * `decide` is called once, as soon as the bytes either are HTTP/2's whole preface or differ from it. A connection that
 * has not come so far after `timeoutMs`, or that ends before, is destroyed without a call.
 */
export function detectProtocol(socket: Socket, timeoutMs: number, decide: (protocol: ClearProtocol) => void): void {
  let seen: Buffer = Buffer.alloc(0);
  // A deadline, not an idle time: one byte now and then does not extend it.
  const deadline = setTimeout(() => socket.destroy(), timeoutMs);
  const leave = () => {
    clearTimeout(deadline);
    socket.off("readable", read);
    socket.off("end", ended);
    socket.off("close", leave);
  };
  const ended = () => socket.destroy();
  const read = () => {
    for (let chunk: Buffer | null = socket.read(); chunk !== null; chunk = socket.read()) {
      seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk]);
      const length = Math.min(seen.length, PREFACE.length);
      const alike = seen.subarray(0, length).equals(PREFACE.subarray(0, length));
      if (alike && length < PREFACE.length) continue;
      leave();
      socket.unshift(seen);
      decide(alike ? "h2" : "http/1.1");
      return;
    }
  };
  socket.on("readable", read);
  socket.on("end", ended);
  socket.on("close", leave);
}
