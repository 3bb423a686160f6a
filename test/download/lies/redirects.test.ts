import { setDefaultCACertificates } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Lookup } from "../../../src/sources/outgoing/connector.ts";
import { createAuthority } from "../../support/certificates.ts";
import type { Answer, Exchange, LyingOrigin } from "../../support/lying-origin.ts";
import { type Content, content, cutFirst, lieToGet, MiB, reply } from "./support/answers.ts";
import { createLab, type Lab } from "./support/lab.ts";

let lab: Lab;
const authority = createAuthority("an authority");
beforeAll(async () => {
  // Before there is any thread that takes it over.
  setDefaultCACertificates([authority.cert]);
  lab = await createLab();
});
afterAll(() => lab.close());

const to = (exchange: Exchange, location: string, status = 302) =>
  exchange.head({ status, headers: { location, "content-length": 0 } });

const proofsOf = ({ requests }: LyingOrigin) => new Set(requests.map(({ headers }) => headers.authorization));

describe("a redirect", () => {
  it.each([301, 302, 303, 307, 308])("with %d at every request is followed each time", async (status) => {
    const object = content();
    const target = await lab.origin(cutFirst(object, (exchange) => reply(exchange, object, { cutAfter: 2 * MiB })));
    const origin = await lab.origin((exchange) => to(exchange, `${target.base}/other/name`, status));
    await lab.expectRight(await lab.fetch(`${origin.base}/model.bin`), object);
  });

  it("over many hops, relative ones too, is followed", async () => {
    const object = content();
    const origin = await lab.origin((exchange) => {
      const hop = Number(/\d+$/.exec(exchange.request.target)?.[0] ?? "0");
      return hop < 8 ? to(exchange, hop % 2 === 0 ? `/hop/${hop + 1}` : `../hop/${hop + 1}`) : reply(exchange, object);
    });
    await lab.expectRight(await lab.fetch(`${origin.base}/model.bin`), object);
  });

  it.each<[string, (origin: () => LyingOrigin) => Answer, RegExp]>([
    ["in a circle", (origin) => (exchange) => to(exchange, `${origin().base}/model.bin`), /loop/],
    ["on and on", () => (exchange) => to(exchange, `/model.bin?${Math.random()}`), /more than 10 times/],
    ["to nowhere", () => (exchange) => to(exchange, "http://[no/"), /no address/],
    ["to another scheme", () => (exchange) => to(exchange, "ftp://127.0.0.1/model.bin"), /not followed/],
    ["to a file", () => (exchange) => to(exchange, "file:///etc/passwd"), /not followed/],
    ["with a password", () => (exchange) => to(exchange, "http://me:secret@127.0.0.1/model.bin"), /not followed/],
    [
      "without an address",
      () => (exchange) => exchange.head({ status: 302, headers: { "content-length": 0 } }),
      /not understood/,
    ],
  ])("that leads %s is refused, in the middle too", async (_, lie, cause) => {
    const object = content();
    const refusal = { reason: ["SOURCE_UNAVAILABLE", "ADDRESS_NOT_ALLOWED"], cause } as const;
    const atOnce: LyingOrigin = await lab.origin(lie(() => atOnce));
    await lab.expectRefused(await lab.fetch(`${atOnce.base}/model.bin`), { ...refusal, host: atOnce.host });
    const later: LyingOrigin = await lab.origin(
      cutFirst(object, (exchange) =>
        exchange.request.method === "HEAD" ? reply(exchange, object) : lie(() => later)(exchange),
      ),
    );
    const outcome = await lab.fetch(`${later.base}/model.bin`);
    await lab.expectRefused(outcome, { ...refusal, host: later.host });
    expect(outcome.last.error?.message).not.toContain("secret");
  });

  it("to another host goes there without the token, and the first host is asked with it each time", async () => {
    const object = content();
    const target = await lab.origin((exchange) => reply(exchange, object, { cutAfter: 2 * MiB }));
    const origin = await lab.origin((exchange) => to(exchange, `${target.base}/model.bin`));
    const call = { credential: { token: "s3cret" } };
    await lab.expectRight(await lab.fetch(`${origin.base}/model.bin`, {}, { call }), object);
    expect(proofsOf(origin)).toEqual(new Set(["Bearer s3cret"]));
    expect(proofsOf(target)).toEqual(new Set([undefined]));
  });

  it("to another host that sends back goes without the token ever after", async () => {
    const object = content();
    const target: LyingOrigin = await lab.origin((exchange) => to(exchange, `${origin.base}/back`));
    const origin: LyingOrigin = await lab.origin((exchange) =>
      exchange.request.target === "/back"
        ? reply(exchange, object, { cutAfter: 2 * MiB })
        : to(exchange, `${target.base}/model.bin`),
    );
    const call = { credential: { token: "s3cret" } };
    await lab.expectRight(await lab.fetch(`${origin.base}/model.bin`, {}, { call }), object);
    expect(proofsOf(target)).toEqual(new Set([undefined]));
    const back = origin.requests.filter(({ target: path }) => path === "/back");
    expect(back.every(({ headers }) => headers.authorization === undefined)).toBe(true);
  });

  it("from https to http is refused, in the middle too, and the other server sees nothing", async () => {
    const object = content();
    const plain = await lab.origin((exchange) => reply(exchange, object));
    const safe = await lab.origin(
      cutFirst(
        object,
        lieToGet(object, (exchange) => to(exchange, `${plain.base}/model.bin`)),
      ),
      { tls: authority.issue("127.0.0.1") },
    );
    const outcome = await lab.fetch(`${safe.base}/model.bin`, {}, { call: { credential: { token: "s3cret" } } });
    await lab.expectRefused(outcome, { reason: "ADDRESS_NOT_ALLOWED", cause: /from https to http/, host: safe.host });
    expect(plain.requests).toEqual([]);
  });

  it.each(["127.0.0.1", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"])(
    "to the private address %s is refused in the middle, and the server there sees nothing",
    async (address) => {
      const object = content();
      let connections = 0;
      const onConnection = () => {
        connections += 1;
      };
      const inner = await lab.origin((exchange) => reply(exchange, object), { onConnection });
      const entrance = await lab.origin(
        cutFirst(
          object,
          lieToGet(object, (exchange) => to(exchange, `http://${address}:${inner.port}/model.bin`)),
        ),
        { host: "127.0.0.2" },
      );
      const sources = { allowNetworks: ["127.0.0.2/32"] };
      const outcome = await lab.fetch(`${entrance.base}/model.bin`, {}, { sources });
      await lab.expectRefused(outcome, {
        reason: "ADDRESS_NOT_ALLOWED",
        cause: /not at a public address.*MODEL_MANAGER_ALLOW_NETWORKS/,
        file: /./,
      });
      expect(connections).toBe(0);
    },
  );

  it("to a name that turns private in the middle is refused, and the server there sees nothing", async () => {
    const object = content();
    let connections = 0;
    const onConnection = () => {
      connections += 1;
    };
    const entrance = await lab.origin((exchange) => reply(exchange, object, { cutAfter: MiB }), { host: "127.0.0.2" });
    await lab.origin(() => {}, { port: entrance.port, onConnection });
    let asked = 0;
    const lookup: Lookup = async () => [{ address: asked++ < 2 ? "127.0.0.2" : "127.0.0.1", family: 4 }];
    const sources = { allowNetworks: ["127.0.0.2/32"], lookup };
    const outcome = await lab.fetch(`http://rebinding.example:${entrance.port}/model.bin`, {}, { sources });
    await lab.expectRefused(outcome, {
      reason: "ADDRESS_NOT_ALLOWED",
      cause: /not at a public address/,
      host: "rebinding.example",
      file: /./,
    });
    expect(connections).toBe(0);
  });
});

describe("a signed address", () => {
  /** Gives out addresses that are good for so many requests, or bytes; afterwards they answer the status. */
  function signing(object: Content, { uses = Infinity, bytes = Infinity, status = 403 }): Answer {
    const used = new Map<string, { uses: number; bytes: number }>();
    let given = 0;
    return async (exchange) => {
      const { target } = exchange.request;
      if (!target.includes("sig=")) return to(exchange, `/cdn/blob?sig=${++given}`);
      const use = used.get(target) ?? { uses: 0, bytes: 0 };
      used.set(target, use);
      if (use.uses >= uses || use.bytes >= bytes) {
        return exchange.head({ status, headers: { "content-length": 0 } });
      }
      if (exchange.request.method === "GET") use.uses += 1;
      await reply(
        {
          ...exchange,
          write: async (...parts) => {
            for (const part of parts) use.bytes += part.length;
            await exchange.write(...parts);
          },
        },
        object,
        { cutAfter: 2 * MiB },
      );
    };
  }

  it.each<[string, Parameters<typeof signing>[1]]>([
    ["after one use", { uses: 1 }],
    ["after two uses", { uses: 2 }],
    ["after three mebibytes", { bytes: 3 * MiB }],
    ["after one use, which is a bad request", { uses: 1, status: 400 }],
    ["after one use, and is unknown then", { uses: 1, status: 401 }],
    ["after one use, and is not there then", { uses: 1, status: 404 }],
    ["after one use, and is gone then", { uses: 1, status: 410 }],
  ])("that expires %s is asked for anew", async (_, limits) => {
    const object = content();
    const origin = await lab.origin(signing(object, limits));
    const outcome = await lab.fetch(`${origin.base}/model.bin`);
    await lab.expectRight(outcome, object);
    expect(outcome.last.attempt).toBe(1);
  });

  it("that is not given out any more ends the download without being shown", async () => {
    const object = content();
    const signed = signing(object, { uses: 1 });
    const origin = await lab.origin((exchange) => {
      const { target } = exchange.request;
      const refused = !target.includes("sig=") && origin.requests.length > 4;
      return refused ? exchange.head({ status: 403, headers: { "content-length": 0 } }) : signed(exchange);
    });
    const outcome = await lab.fetch(`${origin.base}/model.bin?key=s3cret`);
    await lab.expectRefused(outcome, { reason: "SOURCE_FORBIDDEN", cause: /may not be read.*403/, host: origin.host });
    expect(outcome.last.error?.message).not.toMatch(/sig=|s3cret/);
  });
});
