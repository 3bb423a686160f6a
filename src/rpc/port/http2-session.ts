import type { ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import type { PortLimits } from "./limits.ts";

/** Sends away an HTTP/2 session that stays without streams, and drops the connection of one whose peer is gone. */
export function superviseSession(session: ServerHttp2Session, socket: Socket, limits: PortLimits): void {
  let streams = 0;
  let idleSince = performance.now();
  const onStreamClose = () => {
    streams -= 1;
    idleSince = performance.now();
  };
  session.on("stream", (stream) => {
    streams += 1;
    stream.once("close", onStreamClose);
  });

  const handshake = setTimeout(() => socket.destroy(), limits.handshakeMs);
  session.once("remoteSettings", () => clearTimeout(handshake));

  let unanswered = false;
  const pulse = setInterval(() => {
    // A session that has ended waits for its peer to close the connection too, and some never do.
    if (session.destroyed || unanswered) {
      socket.destroy();
      return;
    }
    unanswered = session.ping((error) => {
      if (error === null) unanswered = false;
    });
  }, limits.pingMs);

  const idle = setInterval(
    () => {
      if (streams === 0 && performance.now() - idleSince >= limits.sessionIdleMs) session.close();
    },
    Math.max(50, limits.sessionIdleMs / 4),
  );

  session.once("close", () => {
    clearTimeout(handshake);
    clearInterval(pulse);
    clearInterval(idle);
  });
}
