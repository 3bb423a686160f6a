import { connect as connectClear, isIP, type LookupFunction, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { WireTarget } from "../../../domain/ports/sources.ts";
import type { Connection } from "./connection.ts";

const SCRATCH_BYTES = 32 * 1024;
const CONNECT_MS = 10_000;

/** A socket that reads where its user says, or into a scratch of its own. */
export class Wire {
  readonly scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  readonly socket: Socket;
  /** Who uses it now; nobody while it is idle. */
  user: Connection | undefined;
  /** Called if it ends while it is idle. */
  lost: (() => void) | undefined;

  /** Begins to connect; the user hears of the outcome. */
  constructor({ host, addresses, port, tls }: WireTarget, user: Connection) {
    this.user = user;
    const options = {
      host,
      port,
      lookup: fixedLookup(addresses),
      autoSelectFamily: true,
      noDelay: true,
      onread: {
        buffer: () => this.user?.space ?? this.scratch,
        callback: (count: number, buffer: Uint8Array) => this.#read(count, buffer.buffer === this.scratch.buffer),
      },
      // A literal address has no name to ask for; it is still what the certificate must be for.
      servername: isIP(host) === 0 ? host : "",
      ALPNProtocols: ["http/1.1"],
    };
    this.socket = tls ? connectTls(options) : connectClear(options);
    this.socket.setTimeout(CONNECT_MS);
    this.socket.on("timeout", () => {
      if (this.user === undefined) this.socket.destroy();
      else this.user.fail(Object.assign(new Error("no connection in time"), { code: "ETIMEDOUT" }));
    });
    this.socket.once(tls ? "secureConnect" : "connect", () => {
      this.socket.setTimeout(0);
      this.user?.open(this);
    });
    this.socket.on("error", (error) => this.user?.fail(error));
    this.socket.on("close", () => (this.user === undefined ? this.lost?.() : this.user.closed()));
    this.socket.on("end", () => this.user?.closed());
  }

  #read(count: number, scratched: boolean): boolean {
    // Nobody asked for what comes.
    if (this.user === undefined) this.socket.destroy();
    return this.user?.read(count, scratched) ?? false;
  }
}

/** Answers what was looked up, and checked, before. */
function fixedLookup(addresses: readonly string[]): LookupFunction {
  const found = addresses.map((address) => ({ address, family: isIP(address) }));
  return (_host, { all }, callback) => {
    const [first] = found;
    if (all) callback(null, found);
    else callback(null, first?.address ?? "", first?.family);
  };
}
