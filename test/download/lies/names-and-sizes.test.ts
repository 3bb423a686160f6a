import { createHash } from "node:crypto";
import { readdir } from "node:fs/promises";
import { buffer } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Content, content, cutFirst, lieToGet, MiB, reply } from "./support/answers.ts";
import { createLab, type Lab } from "./support/lab.ts";

let lab: Lab;
beforeAll(async () => {
  lab = await createLab();
});
afterAll(() => lab.close());

describe("a file of", () => {
  it.each(
    [0, 1, MiB - 1, MiB, MiB + 1, 8 * MiB - 1, 8 * MiB, 8 * MiB + 1].flatMap((size) => [
      [size, "at once"] as const,
      [size, "after a cut"] as const,
    ]),
  )("%i bytes comes whole, %s", async (size, way) => {
    const object = content({ size });
    const origin = await lab.origin(
      way === "at once"
        ? (exchange) => reply(exchange, object)
        : cutFirst(object, (exchange) => reply(exchange, object, { cutAfter: (length) => Math.ceil(length * 0.9) })),
    );
    await lab.expectRight(await lab.fetch(`${origin.base}/model.bin`), object);
  });

  it.each([
    ["chunks", { "content-length": undefined, "transfer-encoding": "chunked" }, "0\r\n\r\n"],
    ["no length", { "content-length": undefined, connection: "close" }, ""],
  ])("no bytes, told by %s, comes whole", async (_, headers, body) => {
    const object = content({ size: 0 });
    const bend = { headers, body: Buffer.from(body), cutAfter: body.length };
    const origin = await lab.origin((exchange) => reply(exchange, object, bend));
    await lab.expectRight(await lab.fetch(`${origin.base}/model.bin`), object);
  });

  it("no bytes that has some after all is refused, if its digest is known", async () => {
    const object = content({ size: 0 });
    const origin = await lab.origin(lieToGet(object, (exchange) => reply(exchange, content({ size: MiB }))));
    const outcome = await lab.fetch(`${origin.base}/model.bin`, { sha256: object.sha256 });
    await lab.expectRightOrRefused(outcome, [object], { reason: "CONTENT_MISMATCH", cause: /announced|do not match/ });
  });
});

/** Serves objects by the very text of the request's target. */
function serving(objects: ReadonlyMap<string, Content>) {
  return lab.origin((exchange) => {
    const object = objects.get(exchange.request.target);
    if (object !== undefined) return reply(exchange, object);
    return exchange.head({ status: 404, headers: { "content-length": 0 } });
  });
}

/** The bytes of a model's newest version, by their paths. */
async function filesOf(modelId: string): Promise<Map<string, Buffer>> {
  const { files = [] } = await lab.cluster.models.getVersion({ modelId });
  const read = files.map(
    async ({ path, digest }) => [path, await buffer(await lab.cluster.store.read(digest))] as const,
  );
  return new Map(await Promise.all(read));
}

describe("names", () => {
  it("with blanks, percent signs and letters of all the world stay what they are", async () => {
    const names: [path: string, target: string][] = [
      ["with blanks.bin", "/with%20blanks.bin"],
      ["100%.bin", "/100%25.bin"],
      ["a+b.bin", "/a+b.bin"],
      ["a#b.bin", "/a%23b.bin"],
      ["question?.bin", "/question%3F.bin"],
      ["umlaut/größe.bin", "/umlaut/gr%C3%B6%C3%9Fe.bin"],
      ["模型/权重.bin", "/%E6%A8%A1%E5%9E%8B/%E6%9D%83%E9%87%8D.bin"],
      ["emoji 🦙.bin", "/emoji%20%F0%9F%A6%99.bin"],
      ["percent/%41.bin", "/percent/%2541.bin"],
      ['quote\'s "n" all & <more>.bin', "/quote's%20%22n%22%20all%20&%20%3Cmore%3E.bin"],
      ["semi;colon,comma=equals@at.bin", "/semi;colon,comma=equals@at.bin?version=1&x=%20+"],
      ["twice.bin", "//twice//slashes.bin"],
    ];
    const objects = new Map(names.map(([, target]) => [target, content({ size: 4321 })]));
    const origin = await serving(objects);
    const files = names.map(([path, target]) => ({ path, url: `${origin.base}${target}#not-sent` }));
    const outcome = await lab.run(files);
    expect(outcome.last).toMatchObject({ state: "SUCCEEDED", completedFiles: names.length });
    const found = await filesOf(outcome.modelId);
    expect([...found.keys()].sort()).toEqual(names.map(([path]) => path).sort());
    for (const [path, target] of names)
      expect(found.get(path)?.equals(objects.get(target)?.bytes ?? Buffer.of(1))).toBe(true);
  });

  it("that an address spells as letters are sent as every client sends them", async () => {
    const object = content({ size: 4321 });
    const origin = await serving(new Map([["/gr%C3%B6%C3%9Fe%20%F0%9F%A6%99.bin", object]]));
    const outcome = await lab.run([{ path: "a.bin", url: `${origin.base}/größe 🦙.bin` }]);
    expect(outcome.last).toMatchObject({ state: "SUCCEEDED" });
  });

  it("that are two for one content, of known digest or not, are one blob", async () => {
    const object = content();
    const origin = await lab.origin(cutFirst(object, (exchange) => reply(exchange, object)));
    const { sha256 } = object;
    const outcome = await lab.run([
      { path: "one.bin", url: `${origin.base}/one.bin`, sha256 },
      { path: "two.bin", url: `${origin.base}/two.bin`, sha256 },
      { path: "three.bin", url: `${origin.base}/three.bin` },
      { path: "four.bin", url: `${origin.base}/four.bin` },
    ]);
    expect(outcome.last).toMatchObject({
      state: "SUCCEEDED",
      completedFiles: 4,
      completedBytes: 4 * object.bytes.length,
    });
    const { files = [] } = await lab.cluster.models.getVersion({ modelId: outcome.modelId });
    expect(files.map(({ digest }) => digest)).toEqual(files.map(() => `sha256:${sha256}`));
    expect(await readdir(lab.cluster.store.spoolDirectory)).toEqual([]);
  });

  it("that are two for one content whose second place lies are no way in for the lie", async () => {
    const object = content();
    const other = content();
    const origin = await lab.origin((exchange) =>
      reply(exchange, exchange.request.target === "/one.bin" ? object : other),
    );
    const outcome = await lab.run([
      { path: "one.bin", url: `${origin.base}/one.bin`, sha256: object.sha256 },
      { path: "two.bin", url: `${origin.base}/two.bin`, sha256: object.sha256 },
    ]);
    expect(outcome.last).toMatchObject({ state: "SUCCEEDED", completedFiles: 2 });
    for (const bytes of (await filesOf(outcome.modelId)).values()) expect(bytes.equals(object.bytes)).toBe(true);
  });
});

describe("one bad file", () => {
  it("among good ones keeps all of them from being seen, and is the one that is named", async () => {
    const good = content();
    const origin = await lab.origin((exchange) =>
      exchange.request.target === "/bad.bin"
        ? lieToGet(good, (bad) => reply(bad, { ...good, bytes: Buffer.alloc(good.bytes.length) }))(exchange)
        : reply(exchange, good),
    );
    const outcome = await lab.run([
      { path: "good.bin", url: `${origin.base}/good.bin` },
      { path: "bad.bin", url: `${origin.base}/bad.bin`, sha256: "ab".repeat(32) },
    ]);
    await lab.expectRefused(outcome, { reason: "CONTENT_MISMATCH", cause: /do not match/, file: /'bad\.bin'/ });
  });
});

it("hundreds of small files come as they are", async () => {
  const count = 200;
  const bytesOf = (name: string) => createHash("sha512").update(name).digest();
  const objects = new Map(
    Array.from({ length: count }, (_, index) => {
      const target = `/shard-${index}.bin`;
      return [target, content({ bytes: bytesOf(target) })] as const;
    }),
  );
  const answer = (target: string) => objects.get(target);
  const origin = await lab.origin(
    (exchange) => {
      const object = answer(exchange.request.target);
      return object ? reply(exchange, object) : exchange.head({ status: 404 });
    },
    { mostRequests: 5 * count },
  );
  const files = [...objects.keys()].map((target) => ({ path: `shards${target}`, url: origin.base + target }));
  const { last, modelId } = await lab.run(files);
  expect(last).toMatchObject({ state: "SUCCEEDED", completedFiles: count, completedBytes: 64 * count });
  const { files: found = [] } = await lab.cluster.models.getVersion({ modelId });
  const digests = new Map(found.map(({ path, digest }) => [path, digest]));
  for (const [target, { sha256 }] of objects) expect(digests.get(`shards${target}`)).toBe(`sha256:${sha256}`);
}, 60_000);
