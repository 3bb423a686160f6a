import net, { type AddressInfo, type Socket } from "node:net";

/** A way to a service that breaks once so many bytes went through in one direction; it does so once. */
export interface BreakingProxy {
  /** Host and port. */
  readonly address: string;
  /** Breaks all connections after so many further bytes of one direction; resolves when it has. */
  breakAfter(bytes: number, direction: "up" | "down"): Promise<void>;
  close(): Promise<void>;
}

/** Listens on loopback in front of a port there. */
export async function startBreakingProxy(target: number): Promise<BreakingProxy> {
  const sockets = new Set<Socket>();
  let left = { up: Number.POSITIVE_INFINITY, down: Number.POSITIVE_INFINITY };
  let broken = () => {};
  const pass = (from: Socket, to: Socket, direction: "up" | "down") => {
    sockets.add(from);
    from.on("error", () => {});
    from.on("close", () => {
      sockets.delete(from);
      to.destroy();
    });
    from.on("data", (bytes: Buffer) => {
      left[direction] -= bytes.length;
      if (left[direction] > 0) {
        if (!to.write(bytes)) from.pause();
        return;
      }
      left = { up: Number.POSITIVE_INFINITY, down: Number.POSITIVE_INFINITY };
      for (const socket of sockets) socket.destroy();
      broken();
    });
    to.on("drain", () => from.resume());
  };
  const server = net.createServer((client) => {
    const upstream = net.connect(target, "127.0.0.1");
    pass(client, upstream, "up");
    pass(upstream, client, "down");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    breakAfter(bytes, direction) {
      left[direction] = bytes;
      return new Promise((resolve) => {
        broken = resolve;
      });
    },
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
