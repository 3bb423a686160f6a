import type { WireTarget } from "../../../domain/ports/sources.ts";
import type { Connection } from "./connection.ts";
import type { Wire } from "./wire.ts";

/** Servers close what is not used for some seconds; to find out costs a request. */
const IDLE_MS = 4_000;

/** Wires that nobody uses, kept a moment, since the next file often comes from the same place. */
export class IdleWires {
  readonly #wires = new Map<string, Wire[]>();

  /** A wire to this place; its server may have closed it meanwhile. */
  take(target: WireTarget, user: Connection): Wire | undefined {
    const wire = this.#wires.get(placeOf(target))?.pop();
    if (wire === undefined) return undefined;
    wire.lost = undefined;
    wire.socket.setTimeout(0);
    wire.socket.ref();
    wire.user = user;
    return wire;
  }

  keep(target: WireTarget, wire: Wire): void {
    const { socket } = wire;
    wire.user = undefined;
    if (socket.destroyed || !socket.readable) {
      socket.destroy();
      return;
    }
    const place = placeOf(target);
    const wires = this.#wires.get(place) ?? [];
    this.#wires.set(place, wires);
    wires.push(wire);
    wire.lost = () => {
      wires.splice(wires.indexOf(wire), 1);
      if (wires.length === 0) this.#wires.delete(place);
    };
    socket.unref();
    socket.setTimeout(IDLE_MS);
  }
}

function placeOf({ host, addresses, port, tls }: WireTarget): string {
  return [tls ? "tls" : "clear", host, port, ...addresses].join(" ");
}
