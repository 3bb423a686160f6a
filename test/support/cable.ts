import net from "node:net";

/** A TCP port in front of a unix socket, such as a database's, that can break every connection or swallow every byte. */
export class Cable {
  readonly #target: string;
  readonly #sockets = new Set<net.Socket>();
  readonly #server: net.Server;
  mode: "on" | "cut" | "silent" = "on";

  constructor(target: string) {
    this.#target = target;
    this.#server = net.createServer((client) => {
      if (this.mode === "cut") return void client.destroy();
      const upstream = net.connect(this.#target);
      for (const [from, to] of [
        [client, upstream],
        [upstream, client],
      ] as const) {
        this.#sockets.add(from);
        from.on("data", (bytes) => this.mode === "on" && to.write(bytes));
        from.on("error", () => {});
        from.on("close", () => {
          this.#sockets.delete(from);
          to.destroy();
        });
      }
    });
  }

  /** Listens on loopback and answers the port; 0 takes a free one. */
  async open(port = 0): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(port, "127.0.0.1", resolve));
    return (this.#server.address() as net.AddressInfo).port;
  }

  break(mode: "cut" | "silent"): void {
    this.mode = mode;
    if (mode === "cut") for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}
