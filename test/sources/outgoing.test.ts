import { once } from "node:events";
import http from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Sources } from "../../src/domain/ports/sources.ts";
import type { Lookup } from "../../src/sources/outgoing/connector.ts";
import { startHub } from "../support/hub.ts";
import { startOrigin, type TestOrigin } from "../support/origin.ts";
import { bytes, bytesOf, failure, httpSource, LOOPBACK, open, originOf, request, testSources } from "./helpers.ts";

const BODY = bytes(1000);

let origin: TestOrigin;
const made: Sources[] = [];

beforeEach(async () => {
  origin = await startOrigin();
  origin.serve("/a", BODY);
});

afterEach(async () => {
  await Promise.all(made.splice(0).map((sources) => sources.close()));
  await origin.close();
});

function sources(options: Parameters<typeof testSources>[0]): Sources {
  const created = testSources(options);
  made.push(created);
  return created;
}

/** A host as messages name it: what the URL means, without brackets. */
const shownHost = (url: string): string => new URL(url).hostname.replace(/^\[(.*)\]$/, "$1");

/** Answers the given addresses, one after the other, the last for ever. */
function answers(...addresses: string[]): Lookup & { readonly asked: string[] } {
  const asked: string[] = [];
  const lookup: Lookup = async (hostname) => {
    asked.push(hostname);
    const address = (addresses.length > 1 ? addresses.shift() : addresses[0]) ?? "";
    return [{ address, family: address.includes(":") ? 6 : 4 }];
  };
  return Object.assign(lookup, { asked });
}

describe("addresses that are not public", () => {
  it.each([
    "127.0.0.1",
    "127.1",
    "0x7f.1",
    "0x7f000001",
    "2130706433",
    "017700000001",
    "127.0.0.1.",
    "%31%32%37.0.0.1",
    "１２７.0.0.1",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[::1]",
    "[::]",
    "0.0.0.0",
    "0",
    "localhost",
    "LOCALHOST",
    "169.254.169.254",
    "[fd00:ec2::254]",
    "10.0.0.1",
    "100.64.0.1",
  ])("%s is refused, and the server sees nothing", async (host) => {
    const standard = sources({ allowNetworks: [] });
    const source = httpSource({ url: `http://${host}:${origin.port}/a?sig=secret` });
    const error = await failure(standard.resolve(source, request()), "ADDRESS_NOT_ALLOWED");
    expect(error.message).toContain("MODEL_MANAGER_ALLOW_NETWORKS");
    expect(error.message).toContain(`'${shownHost(`http://${host}`)}'`);
    expect(error.message).not.toContain("secret");
    expect(origin.connections.total).toBe(0);
  });

  it("are refused as a hub, too", async () => {
    const hub = await startHub();
    hub.commit("org/model", { files: { "config.json": BODY } });
    const standard = sources({ allowNetworks: [], hfEndpoint: hub.endpoint });
    const source = {
      kind: "huggingface" as const,
      repo: "org/model",
      revision: "",
      allowPatterns: [],
      ignorePatterns: [],
      endpoint: "",
      credential: "",
    };
    await failure(standard.resolve(source, request()), "ADDRESS_NOT_ALLOWED");
    expect(hub.hub.connections.total).toBe(0);
    await hub.close();
  });

  it("are refused on every hop", async () => {
    // Only 127.0.0.2 is allowed: the first server. It sends its visitors to the second.
    const narrow = sources({ allowNetworks: ["127.0.0.2/32"], lookup: answers("127.0.0.2") });
    const inner = await startOrigin();
    const entrance = await startOrigin({ host: "127.0.0.2" });
    const url = `http://entrance.example:${entrance.port}/a`;
    entrance.serve("/a", BODY);
    const file = await originOf(narrow, httpSource({ url }));
    for (const target of [
      `${inner.base}/a`,
      `http://[::ffff:127.0.0.1]:${inner.port}/a`,
      `http://2130706433:${inner.port}/`,
    ]) {
      entrance.behave("/a", { redirect: target });
      const error = await failure(open(file), "ADDRESS_NOT_ALLOWED");
      expect(error.message).toContain(`'${shownHost(target)}'`);
    }
    expect(inner.connections.total).toBe(0);
    await Promise.all([inner.close(), entrance.close()]);
  });

  it("are refused where a name answers them, and where it does so later only", async () => {
    const lookup = answers("127.0.0.1");
    const standard = sources({ allowNetworks: [], lookup });
    const source = httpSource({ url: `http://public.example:${origin.port}/a` });
    await failure(standard.resolve(source, request()), "ADDRESS_NOT_ALLOWED");
    expect(lookup.asked).toEqual(["public.example"]);

    // One lookup a connection: what was checked is what is connected to, and the next connection is checked again.
    const rebinding = answers("127.0.0.2", "127.0.0.1");
    const narrow = sources({ allowNetworks: ["127.0.0.2/32"], lookup: rebinding });
    const entrance = await startOrigin({ host: "127.0.0.2" });
    entrance.serve("/a", BODY, { methods: ["HEAD"], headers: { connection: "close" } });
    const url = `http://rebinding.example:${entrance.port}/a`;
    const file = await originOf(narrow, httpSource({ url }));
    expect(rebinding.asked).toHaveLength(1);
    await failure(bytesOf(open(file)), "ADDRESS_NOT_ALLOWED");
    expect(rebinding.asked).toHaveLength(2);
    expect(origin.connections.total).toBe(0);
    await entrance.close();
  });

  it("do not spoil the public ones that a name has beside them", async () => {
    const lookup: Lookup = async () => [
      { address: "10.0.0.1", family: 4 },
      { address: "127.0.0.1", family: 4 },
    ];
    const allowed = sources({ lookup });
    const { files } = await allowed.resolve(httpSource({ url: `http://both.example:${origin.port}/a` }), request());
    expect(files[0]?.size).toBe(1000);
  });

  it("can be allowed", async () => {
    const allowed = sources({ allowNetworks: LOOPBACK });
    for (const host of ["127.0.0.1", "127.1", "[::ffff:127.0.0.1]", "localhost"]) {
      const file = await originOf(allowed, httpSource({ url: `http://${host}:${origin.port}/a` }));
      expect((await bytesOf(open(file))).equals(BODY)).toBe(true);
    }
  });

  it("a name that does not resolve is a failure of the network", async () => {
    const lookup: Lookup = () => Promise.reject(Object.assign(new Error("no such name"), { code: "ENOTFOUND" }));
    const error = await failure(
      sources({ lookup }).resolve(httpSource({ url: "https://nowhere.example/a" }), request()),
      "SOURCE_UNAVAILABLE",
    );
    expect(error.message).toBe("'file-0' at https://nowhere.example/a has a host name that does not resolve");
  });
});

describe("a proxy", () => {
  interface Proxy {
    readonly url: string;
    /** Whatever it was asked to fetch or connect to. */
    readonly asked: string[];
    close(): Promise<void>;
  }

  /** A real forward proxy: fetches plain addresses, tunnels the rest; every name leads to the origin. */
  async function startProxy(): Promise<Proxy> {
    const asked: string[] = [];
    const sockets = new Set<Socket>();
    const server = http.createServer((incoming, response) => {
      asked.push(incoming.url ?? "");
      const { pathname } = new URL(incoming.url ?? "");
      const options = { port: origin.port, path: pathname, method: incoming.method, headers: incoming.headers };
      incoming.pipe(
        http.request(options, (answer) => {
          response.writeHead(answer.statusCode ?? 502, answer.headers);
          answer.pipe(response);
        }),
      );
    });
    server.on("connect", (incoming, socket: Socket) => {
      asked.push(`CONNECT ${incoming.url}`);
      const upstream = connect(origin.port, "127.0.0.1", () => {
        socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
        upstream.pipe(socket).pipe(upstream);
      });
      for (const end of [socket, upstream]) end.on("error", () => {});
    });
    server.on("connection", (socket) => sockets.add(socket));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return {
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      asked,
      async close() {
        server.close();
        for (const socket of sockets) socket.destroy();
        await once(server, "close");
      },
    };
  }

  const unresolvable: Lookup = () => Promise.reject(new Error("only the proxy can resolve"));

  it("is used although its own address is private, also for names that only it can resolve", async () => {
    const proxy = await startProxy();
    const proxied = sources({ allowNetworks: [], proxies: { http: proxy.url }, lookup: unresolvable });
    const file = await originOf(proxied, httpSource({ url: "http://files.example/a" }));
    expect((await bytesOf(open(file))).equals(BODY)).toBe(true);
    expect(proxy.asked).toEqual(["http://files.example/a", "http://files.example/a"]);
    await proxy.close();
  });

  it("is not asked for what can be seen to be private", async () => {
    const proxy = await startProxy();
    const byName = sources({
      allowNetworks: [],
      proxies: { http: proxy.url, https: proxy.url },
      lookup: answers("10.0.0.1"),
    });
    for (const url of [
      "http://intern.example/a",
      "https://intern.example/a",
      "http://169.254.169.254/latest",
      "http://127.1/a",
    ]) {
      await failure(byName.resolve(httpSource({ url }), request()), "ADDRESS_NOT_ALLOWED");
    }
    expect(proxy.asked).toEqual([]);
    await proxy.close();
  });

  it("tunnels https, and is passed by for NO_PROXY, where addresses are checked when connecting", async () => {
    const proxy = await startProxy();
    const options = { proxies: { https: proxy.url, http: proxy.url, none: "direct.example" } };
    const tunnel = sources({ ...options, allowNetworks: [], lookup: unresolvable });
    // The origin speaks no TLS, so the request fails; what counts is where it was sent.
    await failure(tunnel.resolve(httpSource({ url: "https://files.example/a" }), request()), "SOURCE_UNAVAILABLE");
    expect(proxy.asked).toEqual(["CONNECT files.example:443"]);

    const url = `http://direct.example:${origin.port}/a`;
    const direct = sources({ ...options, lookup: answers("127.0.0.1") });
    expect((await direct.resolve(httpSource({ url }), request())).files[0]?.size).toBe(1000);
    const refused = sources({ ...options, allowNetworks: [], lookup: answers("127.0.0.1") });
    await failure(refused.resolve(httpSource({ url }), request()), "ADDRESS_NOT_ALLOWED");
    expect(proxy.asked).toHaveLength(1);
    await proxy.close();
  });

  it("of the environment is not used behind the configuration's back", async () => {
    const proxy = await startProxy();
    const before = process.env.HTTP_PROXY;
    process.env.HTTP_PROXY = proxy.url;
    try {
      for (const proxies of [undefined, { https: proxy.url }]) {
        const plain = sources({ proxies });
        await plain.resolve(httpSource({ url: `${origin.base}/a` }), request());
      }
    } finally {
      if (before === undefined) delete process.env.HTTP_PROXY;
      else process.env.HTTP_PROXY = before;
    }
    expect(proxy.asked).toEqual([]);
    await proxy.close();
  });
});
