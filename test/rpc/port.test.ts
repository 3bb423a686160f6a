import { once } from "node:events";
import * as http from "node:http";
import * as http2 from "node:http2";
import * as https from "node:https";
import * as net from "node:net";
import { setImmediate as turn } from "node:timers/promises";
import * as tls from "node:tls";
import { afterEach, describe, expect, it, onTestFinished } from "vitest";
import type { Logger } from "../../src/domain/logger.ts";
import type { PortHandler } from "../../src/lib/http/handler.ts";
import type { PortLimits } from "../../src/rpc/port/limits.ts";
import { ListenError } from "../../src/rpc/port/listen-error.ts";
import { createPlainRoutes, type HealthSummary } from "../../src/rpc/port/plain-routes.ts";
import { createPort, type Port, type PortOptions } from "../../src/rpc/port/port.ts";
import { createAuthority } from "../support/certificates.ts";

const quiet: Logger = { debug() {}, info() {}, warn() {}, error() {}, child: () => quiet };
const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS = 4;
const PING = 6;

const ports: Port[] = [];
afterEach(async () => {
  await Promise.all(ports.splice(0).map((port) => port.close(0)));
});

/** Answers with the HTTP version, the path and the length of the body. */
const echo: PortHandler = (request, response) => {
  let length = 0;
  request.on("data", (chunk: Buffer) => {
    length += chunk.length;
  });
  request.on("end", () => {
    const text = `${request.httpVersion} ${request.url} ${length}`;
    if ("stream" in response) response.end(text);
    else response.end(text);
  });
};

async function open(options: Partial<PortOptions> = {}): Promise<Port> {
  const port = await createPort({ handler: echo, host: "127.0.0.1", port: 0, log: quiet, ...options });
  ports.push(port);
  return port;
}

const withLimits = (limits: Partial<PortLimits>) => open({ limits });

/** A handler that begins each answer with `begun` and leaves the rest to the test. */
function heldAnswers() {
  const { promise, resolve } = Promise.withResolvers<(text: string) => void>();
  const handler: PortHandler = (_request, response) => {
    if ("stream" in response) {
      response.write("begun ");
      resolve((text) => response.end(text));
    } else {
      response.write("begun ");
      resolve((text) => response.end(text));
    }
  };
  return { handler, finish: promise };
}

interface Reply {
  readonly status: number | undefined;
  readonly headers: Record<string, unknown>;
  readonly body: string;
}

async function text(stream: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

async function get1(port: Port, path = "/", options: https.RequestOptions = {}): Promise<Reply> {
  const { request } = port.address.url.startsWith("https:") ? https : http;
  const call = request(`${port.address.url}${path}`, { agent: false, ...options }).end();
  const [answer] = (await once(call, "response")) as [http.IncomingMessage];
  return { status: answer.statusCode, headers: answer.headers, body: await text(answer) };
}

/** An HTTP/2 session that the test leaves closed, whatever becomes of it. */
function connect2(port: Port, options: http2.SecureClientSessionOptions = {}): http2.ClientHttp2Session {
  const session = http2.connect(port.address.url, options);
  session.on("error", () => {});
  onTestFinished(() => session.destroy());
  return session;
}

async function request2(session: http2.ClientHttp2Session, headers: http2.OutgoingHttpHeaders = {}): Promise<Reply> {
  const stream = session.request(headers);
  const closed = new AbortController(); // a stream whose connection is cut may close without an error
  stream.once("close", () => closed.abort());
  const [answer] = (await once(stream, "response", { signal: closed.signal })) as [http2.IncomingHttpHeaders];
  return { status: Number(answer[":status"]), headers: answer, body: await text(stream) };
}

/** A bare TCP connection. */
async function dial(port: Port): Promise<net.Socket> {
  const socket = net.connect(port.address.port, port.address.host);
  socket.on("error", () => {});
  onTestFinished(() => {
    socket.destroy();
  });
  await once(socket, "connect");
  return socket;
}

/** All that comes on a connection until the other side ends it. */
async function untilClosed(socket: net.Socket): Promise<string> {
  let seen = "";
  socket.on("data", (chunk: Buffer) => {
    seen += chunk.toString("latin1");
  });
  // Not by `once` of node:events, which fails when the connection is reset.
  if (!socket.closed) await new Promise((resolve) => socket.once("close", resolve));
  return seen;
}

function frame(type: number, payload: Buffer = Buffer.alloc(0), flags = 0, stream = 0): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

async function* frames(socket: net.Socket): AsyncGenerator<Frame> {
  let rest = Buffer.alloc(0);
  for await (const chunk of socket) {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 9 && rest.length >= 9 + rest.readUIntBE(0, 3)) {
      const end = 9 + rest.readUIntBE(0, 3);
      yield { type: rest[3] ?? 0, flags: rest[4] ?? 0, stream: rest.readUInt32BE(5), payload: rest.subarray(9, end) };
      rest = rest.subarray(end);
    }
  }
}

/** Writes byte by byte, and lets the other side read each. */
async function trickle(socket: net.Socket, bytes: string | Buffer): Promise<void> {
  for (const byte of Buffer.from(bytes)) {
    await new Promise((resolve) => socket.write(Buffer.of(byte), resolve));
    await turn();
    await turn();
  }
}

describe("one port in clear", () => {
  it("speaks HTTP/1.1, and keeps the connection for the next request", async () => {
    const port = await open();
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    onTestFinished(() => agent.destroy());
    expect(await get1(port, "/a", { agent })).toMatchObject({ status: 200, body: "1.1 /a 0" });
    expect((await get1(port, "/b", { agent })).body).toBe("1.1 /b 0");
  });

  it("speaks HTTP/2 with prior knowledge", async () => {
    const session = connect2(await open());
    expect(await request2(session, { ":path": "/a" })).toMatchObject({ status: 200, body: "2.0 /a 0" });
    expect((await request2(session, { ":path": "/b" })).body).toBe("2.0 /b 0");
  });

  it("says where it really listens", async () => {
    const { address } = await open();
    expect(address.port).toBeGreaterThan(0);
    expect(address.url).toBe(`http://127.0.0.1:${address.port}`);
  });

  it("takes bodies larger than the windows over both versions", async () => {
    const port = await withLimits({ windowBytes: 65_535 });
    const bytes = Buffer.alloc(3_000_000, 7);
    const call = http.request(port.address.url, { method: "POST", agent: false }).end(bytes);
    const [answer] = (await once(call, "response")) as [http.IncomingMessage];
    expect(await text(answer)).toBe("1.1 / 3000000");
    const stream = connect2(port).request({ ":method": "POST" });
    stream.end(bytes);
    expect(await text(stream)).toBe("2.0 / 3000000");
  });

  it("knows HTTP/2 by a preface that comes byte by byte", async () => {
    const port = await open();
    const relay = net.createServer((near) => {
      const far = net.connect(port.address.port, port.address.host);
      far.setNoDelay();
      near.once("data", async (first) => {
        near.pause();
        await trickle(far, first);
        near.pipe(far);
      });
      far.pipe(near);
      near.on("error", () => far.destroy());
      far.on("error", () => near.destroy());
    });
    relay.listen(0, "127.0.0.1");
    await once(relay, "listening");
    onTestFinished(() => {
      relay.close();
    });
    const session = http2.connect(`http://127.0.0.1:${(relay.address() as net.AddressInfo).port}`);
    onTestFinished(() => session.destroy());
    expect((await request2(session)).body).toBe("2.0 / 0");
  });

  it("knows HTTP/1.1 by a method that begins as the preface does, byte by byte", async () => {
    const socket = await dial(await open());
    const answer = untilClosed(socket);
    await trickle(socket, "PROPFIND /x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    expect(await answer).toMatch(/^HTTP\/1.1 200[\s\S]*1\.1 \/x 0/);
  });

  it("gives its HTTP/2 settings, and widens the session's window", async () => {
    const socket = await dial(await withLimits({ maxConcurrentStreams: 7, windowBytes: 1_000_000 }));
    socket.write(Buffer.concat([Buffer.from(PREFACE), frame(SETTINGS)]));
    const settings = new Map<number, number>();
    for await (const { type, payload, stream } of frames(socket)) {
      if (type === SETTINGS) {
        for (let at = 0; at < payload.length; at += 6)
          settings.set(payload.readUInt16BE(at), payload.readUInt32BE(at + 2));
      }
      if (type === 8) {
        expect([stream, payload.readUInt32BE(0)]).toEqual([0, 1_000_000 - 65_535]);
        break;
      }
    }
    expect(settings.get(3)).toBe(7);
    expect(settings.get(4)).toBe(1_000_000);
    expect(settings.get(6)).toBe(16_384);
  });

  it("hands streams to a lane first, and the rest to the handler", async () => {
    const port = await open({
      onStream(stream, headers) {
        if (headers[":path"] !== "/lane") return false;
        stream.respond({ ":status": 200 });
        stream.end("lane");
        return true;
      },
    });
    const session = connect2(port);
    expect((await request2(session, { ":path": "/lane" })).body).toBe("lane");
    expect((await request2(session, { ":path": "/other" })).body).toBe("2.0 /other 0");
    expect((await get1(port, "/lane")).body).toBe("1.1 /lane 0");
  });
});

describe("bad bytes", () => {
  const garbage: [string, Buffer][] = [
    ["noise", Buffer.from(Array.from({ length: 300 }, (_, i) => (i * 7919 + 13) % 256))],
    ["a TLS hello", Buffer.from("16030100c8010000c40303", "hex")],
    ["half a preface, then something else", Buffer.from("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n")],
    ["the preface, then noise", Buffer.concat([Buffer.from(PREFACE), Buffer.alloc(400, 0xff)])],
    ["a version that is not", Buffer.from("GET / HTTP/9.9\r\n\r\n")],
  ];

  it.each(garbage)("%s gets a 400 or a close, and the port lives", async (_name, bytes) => {
    const port = await open();
    const socket = await dial(port);
    socket.write(bytes);
    const answer = await untilClosed(socket);
    if (!bytes.subarray(0, 24).equals(Buffer.from(PREFACE))) expect(answer).toMatch(/^(HTTP\/1.1 400|$)/);
    expect((await get1(port)).status).toBe(200);
  });

  it("survives a client that resets at any point", async () => {
    const port = await open();
    for (const bytes of ["", "P", "GET / HT", PREFACE, "GET / HTTP/1.1\r\nhost: x\r\n\r\n"]) {
      const socket = await dial(port);
      if (bytes !== "") await new Promise((resolve) => socket.write(bytes, resolve));
      await turn();
      socket.resetAndDestroy();
      await once(socket, "close");
    }
    expect((await get1(port)).status).toBe(200);
  });

  it("closes when the client ends without having said enough", async () => {
    for (const bytes of ["", "PRI *", PREFACE]) {
      const socket = await dial(await open());
      socket.end(bytes);
      socket.resume();
      await once(socket, "close");
    }
  });

  it("refuses heads that are too large", async () => {
    const port = await withLimits({ maxHeaderBytes: 2000 });
    expect((await get1(port, "/", { headers: { big: "x".repeat(3000) } })).status).toBe(431);
    const session = connect2(port);
    await once(session, "remoteSettings"); // the limit holds from then on; before, HTTP/2's own 64 KiB do
    const stream = session.request({ big: "x".repeat(3000) });
    const [error] = await once(stream, "error");
    expect(error).toMatchObject({ code: "ERR_HTTP2_STREAM_ERROR" });
    expect((await request2(session)).status).toBe(200);
  });

  it("ends a session that opens and resets streams without end", async () => {
    const port = await open({ limits: { maxConcurrentStreams: 10 }, handler: () => {} });
    const session = connect2(port);
    await once(session, "remoteSettings");
    const gone = once(session, "goaway");
    const flood = setInterval(() => {
      for (let i = 0; i < 10 && !session.destroyed && !session.closed; i += 1) {
        const stream = session.request();
        stream.on("error", () => {});
        stream.close(http2.constants.NGHTTP2_CANCEL);
      }
    }, 1);
    onTestFinished(() => clearInterval(flood));
    const [code] = await gone;
    expect(code).not.toBe(http2.constants.NGHTTP2_NO_ERROR);
  });
});

describe("clients that keep the port waiting", () => {
  it("are cut when they say nothing, or only a part of the preface", async () => {
    const port = await withLimits({ handshakeMs: 150 });
    const [silent, partial] = [await dial(port), await dial(port)];
    const ends = [untilClosed(silent), untilClosed(partial)];
    partial.write("PRI * HT");
    expect(await Promise.all(ends)).toEqual(["", ""]);
  });

  it("are cut when the head of a request drips", async () => {
    const socket = await dial(await withLimits({ headersMs: 300 }));
    const answer = untilClosed(socket);
    socket.write("GET / HTTP/1.1\r\n");
    const drip = setInterval(() => socket.write("a: b\r\n"), 40);
    onTestFinished(() => clearInterval(drip));
    expect(await answer).toMatch(/^HTTP\/1.1 408/);
  });

  it("are cut when a body stops coming", async () => {
    const socket = await dial(await withLimits({ stallMs: 150 }));
    socket.write("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc");
    expect(await untilClosed(socket)).toBe("");
  });

  it("are cut when they do not read the answer", async () => {
    let wasCut = (): void => {};
    const cut = new Promise<void>((resolve) => {
      wasCut = resolve;
    });
    const port = await open({
      limits: { stallMs: 150 },
      handler(_request, response) {
        response.once("close", wasCut);
        if (!("stream" in response)) response.write(Buffer.alloc(64 * 1024 * 1024));
      },
    });
    const socket = await dial(port);
    socket.pause();
    socket.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    await cut;
  });

  it("are cut when a kept HTTP/1.1 connection stays unused", async () => {
    const socket = await dial(await withLimits({ keepAliveMs: 100 }));
    const answer = untilClosed(socket);
    socket.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    expect(await answer).toMatch(/^HTTP\/1.1 200/);
  });

  it("are cut when an HTTP/2 session never begins", async () => {
    const socket = await dial(await withLimits({ handshakeMs: 150 }));
    socket.write(PREFACE);
    await untilClosed(socket);
  });

  it("are sent away when an HTTP/2 session stays without streams", async () => {
    const session = connect2(await withLimits({ sessionIdleMs: 150 }));
    const gone = once(session, "goaway");
    await request2(session);
    expect((await gone)[0]).toBe(http2.constants.NGHTTP2_NO_ERROR);
    if (!session.destroyed) await once(session, "close");
  });

  it("are cut when an HTTP/2 peer does not answer a PING", async () => {
    const socket = await dial(await withLimits({ pingMs: 150 }));
    socket.write(Buffer.concat([Buffer.from(PREFACE), frame(SETTINGS)]));
    const types: number[] = [];
    for await (const { type, flags } of frames(socket)) if ((flags & 1) === 0) types.push(type);
    expect(types).toContain(PING);
  });

  it("are cut when they keep their end open after GOAWAY", async () => {
    const port = await withLimits({ sessionIdleMs: 60, pingMs: 200 });
    const socket = net.connect({ port: port.address.port, host: port.address.host, allowHalfOpen: true });
    onTestFinished(() => {
      socket.destroy();
    });
    socket.write(Buffer.concat([Buffer.from(PREFACE), frame(SETTINGS)]));
    socket.resume();
    await once(socket, "end");
    const knock = setInterval(() => socket.write(frame(PING, Buffer.alloc(8))), 20);
    onTestFinished(() => clearInterval(knock));
    const [error] = await once(socket, "error");
    expect(error.code).toMatch(/ECONNRESET|EPIPE/);
  });

  it("are let be while they wait for a quiet answer", async () => {
    const short = { handshakeMs: 100, headersMs: 100, keepAliveMs: 100, stallMs: 100, sessionIdleMs: 100, pingMs: 100 };
    const first = heldAnswers();
    const port1 = await open({ handler: first.handler, limits: short });
    const answer1 = get1(port1);
    const second = heldAnswers();
    const port2 = await open({ handler: second.handler, limits: short });
    const answer2 = request2(connect2(port2));
    const [finish1, finish2] = await Promise.all([first.finish, second.finish]);
    await new Promise((resolve) => setTimeout(resolve, 600)); // six times any limit: there is nothing else to wait for
    finish1("ended");
    finish2("ended");
    expect((await answer1).body).toBe("begun ended");
    expect((await answer2).body).toBe("begun ended");
  });
});

describe("one port with TLS", () => {
  const authority = createAuthority("Test authority");
  const { cert, key } = authority.issue("server");
  const ca = authority.cert;

  it("speaks the protocol that ALPN agrees on", async () => {
    const port = await open({ tls: { cert, key } });
    expect(port.address.url).toMatch(/^https:/);
    expect((await get1(port, "/a", { ca })).body).toBe("1.1 /a 0");
    expect((await request2(connect2(port, { ca }), { ":path": "/a" })).body).toBe("2.0 /a 0");
  });

  it("speaks HTTP/1.1 to clients without ALPN, and refuses those with another protocol", async () => {
    const port = await open({ tls: { cert, key } });
    const plain = tls.connect({ port: port.address.port, host: "127.0.0.1", ca });
    plain.write("GET /x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    expect(await untilClosed(plain)).toContain("1.1 /x 0");
    const odd = tls.connect({ port: port.address.port, host: "127.0.0.1", ca, ALPNProtocols: ["spdy/3"] });
    expect((await once(odd, "error"))[0]).toMatchObject({ code: "ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL" });
  });

  it("cuts a clear-text client and a handshake that does not go on, and lives", async () => {
    const port = await open({ tls: { cert, key }, limits: { handshakeMs: 150 } });
    const [clear, silent] = [await dial(port), await dial(port)];
    clear.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    await Promise.all([untilClosed(clear), untilClosed(silent)]);
    expect((await get1(port, "/", { ca })).status).toBe(200);
  });

  it("lets in only its authority's clients when it has one", async () => {
    const port = await open({ tls: { cert, key, clientCa: ca } });
    const friend = authority.issue("friend");
    expect((await get1(port, "/", { ca, ...friend })).status).toBe(200);
    expect((await request2(connect2(port, { ca, ...friend }))).status).toBe(200);
    const stranger = createAuthority("Another authority").issue("stranger");
    await expect(get1(port, "/", { ca })).rejects.toThrow();
    await expect(get1(port, "/", { ca, ...stranger })).rejects.toThrow();
    await expect(request2(connect2(port, { ca }))).rejects.toThrow();
    await expect(request2(connect2(port, { ca, ...stranger }))).rejects.toThrow();
  });

  it("drains and destroys as in clear", async () => {
    const { handler, finish } = heldAnswers();
    const port = await open({ handler, tls: { cert, key } });
    const handshake = await dial(port);
    const session = connect2(port, { ca });
    const goaway = once(session, "goaway");
    const answer = request2(session);
    const end = await finish;
    const closed = port.close(60_000);
    await goaway;
    end("ended");
    expect((await answer).body).toBe("begun ended");
    const cut = untilClosed(handshake);
    await port.close(0);
    await Promise.all([closed, cut]);
  });

  it("refuses unusable PEM files with the remedy", async () => {
    const other = authority.issue("other");
    for (const bad of [
      { cert: "no pem", key },
      { cert, key: other.key },
      { cert, key, clientCa: "no pem" },
      { cert, key, clientCa: "" },
    ]) {
      const failure = await open({ tls: bad }).catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(ListenError);
      expect(failure).toMatchObject({ code: "TLS", message: expect.stringContaining("MODEL_MANAGER_TLS_CERT") });
    }
  });
});

describe("a port that cannot be opened", () => {
  it("says that another program has it", async () => {
    const { port } = (await open()).address;
    await expect(open({ port })).rejects.toMatchObject({
      name: "ListenError",
      code: "EADDRINUSE",
      message: expect.stringMatching(`cannot listen on 127.0.0.1:${port}: another program .* MODEL_MANAGER_PORT`),
    });
  });

  it("says that the machine has no such address", async () => {
    await expect(open({ host: "192.0.2.1" })).rejects.toMatchObject({
      code: "EADDRNOTAVAIL",
      message: expect.stringContaining("MODEL_MANAGER_HOST"),
    });
  });
});

describe("closing", () => {
  it("lets a running HTTP/2 stream end, after GOAWAY, and accepts nothing new", async () => {
    const { handler, finish } = heldAnswers();
    const port = await open({ handler });
    const session = connect2(port);
    const goaway = once(session, "goaway");
    const answer = request2(session);
    const end = await finish;
    const closed = port.close(60_000);
    const [code, lastStream] = await goaway;
    expect([code, lastStream]).toEqual([http2.constants.NGHTTP2_NO_ERROR, 1]);
    await expect(dial(port)).rejects.toMatchObject({ code: "ECONNREFUSED" });
    end("ended");
    expect((await answer).body).toBe("begun ended");
    await closed;
  });

  it("closes idle connections of both versions at once", async () => {
    const port = await open();
    const agent = new http.Agent({ keepAlive: true });
    onTestFinished(() => agent.destroy());
    await get1(port, "/", { agent });
    const session = connect2(port);
    await request2(session);
    const silent = await dial(port);
    const cut = untilClosed(silent);
    await port.close(60_000);
    await cut;
  });

  it("lets a running HTTP/1.1 answer end and then closes its connection", async () => {
    const { handler, finish } = heldAnswers();
    const port = await open({ handler });
    const agent = new http.Agent({ keepAlive: true });
    onTestFinished(() => agent.destroy());
    const answer = get1(port, "/", { agent });
    const end = await finish;
    const closed = port.close(60_000);
    end("ended");
    expect((await answer).body).toBe("begun ended");
    await closed;
  });

  it("says `Connection: close` on an HTTP/1.1 answer that has not begun", async () => {
    const { promise: asked, resolve } = Promise.withResolvers<() => void>();
    const port = await open({
      handler: (_request, response) => resolve(() => ("stream" in response ? undefined : response.end("late"))),
    });
    const agent = new http.Agent({ keepAlive: true });
    onTestFinished(() => agent.destroy());
    const answer = get1(port, "/", { agent });
    const end = await asked;
    const closed = port.close(60_000);
    end();
    expect(await answer).toMatchObject({ body: "late", headers: { connection: "close" } });
    await closed;
  });

  it("destroys what is left after the grace", async () => {
    const [held1, held2] = [heldAnswers(), heldAnswers()];
    let calls = 0;
    const handler: PortHandler = (...call) => (calls++ === 0 ? held1 : held2).handler(...call);
    const port = await open({ handler });
    const answer = expect(get1(port)).rejects.toThrow("aborted");
    await held1.finish;
    const session = connect2(port);
    const stream = session.request();
    const cut = Promise.all([once(session, "close"), text(stream)]);
    await held2.finish;
    await port.close(100);
    await answer;
    expect((await cut)[1]).toBe("begun ");
  });

  it("destroys everything at once when asked again with no time left", async () => {
    const held = heldAnswers();
    const port = await open({ handler: held.handler });
    const session = connect2(port);
    const stream = session.request();
    const cut = Promise.all([once(session, "close"), text(stream)]);
    await held.finish;
    const closed = port.close(60_000);
    await port.close(0);
    await closed;
    await cut;
  });
});

describe("plain routes", () => {
  const about = { name: "model-manager", version: "1.2.3", links: { health: "/health" }, services: ["a.v1.B"] };
  let health: () => HealthSummary = () => ({ status: "SERVING", services: { "a.v1.B": "SERVING" } });
  const rpc: PortHandler = (_request, response) => {
    if ("stream" in response) response.end("rpc");
    else response.end("rpc");
  };
  const openRoutes = () => open({ handler: createPlainRoutes({ about, health: () => health(), rpc }) });
  type Call = (port: Port, method: string, path: string, headers?: Record<string, string>) => Promise<Reply>;
  const versions: [string, Call][] = [
    ["HTTP/1.1", (port, method, path, headers) => get1(port, path, { method, headers })],
    [
      "HTTP/2",
      (port, method, path, headers) => request2(connect2(port), { ":method": method, ":path": path, ...headers }),
    ],
  ];

  describe.each(versions)("over %s", (_version, call) => {
    it("say what the service is", async () => {
      const reply = await call(await openRoutes(), "GET", "/?x=1");
      expect(reply).toMatchObject({ status: 200, headers: { "content-type": "application/json; charset=utf-8" } });
      expect(JSON.parse(reply.body)).toEqual(about);
    });

    it("give health as 200 or 503", async () => {
      const port = await openRoutes();
      const before = health;
      onTestFinished(() => {
        health = before;
      });
      const well = await call(port, "GET", "/health");
      expect([well.status, JSON.parse(well.body).status]).toEqual([200, "SERVING"]);
      health = () => ({ status: "NOT_SERVING", services: {} });
      expect(await call(port, "GET", "/health")).toMatchObject({ status: 503 });
    });

    it("answer HEAD without a body", async () => {
      const port = await openRoutes();
      const full = await call(port, "GET", "/");
      const head = await call(port, "HEAD", "/");
      expect(head).toMatchObject({ status: 200, body: "" });
      expect(head.headers["content-length"]).toBe(full.headers["content-length"]);
    });

    it("refuse unknown paths and methods", async () => {
      const port = await openRoutes();
      const missing = await call(port, "GET", "/nothing");
      expect(missing.status).toBe(404);
      expect(JSON.parse(missing.body)).toMatchObject({ code: "not_found", hint: expect.stringContaining("GET /") });
      expect(await call(port, "DELETE", "/health")).toMatchObject({ status: 405, headers: { allow: "GET, HEAD" } });
    });

    it("leave calls to the RPC handler", async () => {
      const port = await openRoutes();
      expect((await call(port, "GET", "/a.v1.B/Get?message=x")).body).toBe("rpc");
      for (const type of [
        "application/grpc",
        "application/grpc-web+proto",
        "application/connect+json",
        "application/proto",
      ]) {
        expect((await call(port, "POST", "/", { "content-type": type })).body).toBe("rpc");
      }
      for (const type of ["application/json", "application/protobuf-text"]) {
        expect((await call(port, "POST", "/", { "content-type": type })).status).toBe(405);
      }
    });
  });

  it("take a proxy's absolute form, and a path that looks like a host", async () => {
    const port = await openRoutes();
    expect((await get1(port, "", { path: "http://somewhere/health" })).status).toBe(200);
    expect((await get1(port, "", { path: "//health" })).status).toBe(404);
  });
});
