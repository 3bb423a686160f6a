import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Filter } from "../../src/domain/filter.ts";
import type { ModelOrder } from "../../src/domain/ports/models.ts";
import { decodePageToken, encodePageToken } from "../../src/registry/page-token.ts";
import { byId, newModel, openRegistry, type TestRegistry } from "./open-registry.ts";

const COUNT = 120;

let registry: TestRegistry;
beforeAll(async () => {
  registry = await openRegistry();
  await registry.sql`
    insert into models (id, type, display_name, description, labels, base_model_id, source, status, create_time, update_time)
    select 'm' || lpad(n::text, 3, '0'), 'LLM', '', '', jsonb_build_object('third', (n % 3)::text), '', '{"kind":"upload"}', 'REGISTERED',
      -- Many rows share a time, down to the millisecond.
      timestamptz '2026-01-01T00:00:00.123Z' + (n / 7) * interval '1 ms', timestamptz '2026-01-01T00:00:00Z'
    from generate_series(0, ${COUNT - 1}::integer) n`;
});
afterAll(() => registry[Symbol.asyncDispose]());

async function walk(order: ModelOrder, size: number, filter?: Filter): Promise<string[]> {
  const ids: string[] = [];
  let token = "";
  do {
    const page = await registry.models.list({ size, token, order, filter });
    expect(page.items.length).toBeLessThanOrEqual(size);
    expect(page.totalSize).toBe(filter === undefined ? COUNT : COUNT / 3);
    ids.push(...page.items.map(({ id }) => id));
    token = page.nextToken;
  } while (token !== "");
  return ids;
}

const all = Array.from({ length: COUNT }, (_, index) => `m${String(index).padStart(3, "0")}`);

describe("pages", () => {
  test.each(["id", "create_time", "update_time"] as const)("go over all rows once, by %s", async (field) => {
    for (const size of [1, 7, 50, COUNT, 1000]) {
      if (size === 1 && field !== "create_time") continue;
      expect(await walk({ field, descending: false }, size)).toEqual(all);
      expect(await walk({ field, descending: true }, size)).toEqual(all.toReversed());
    }
  });

  test("keep to their filter", async () => {
    const filter = { kind: "compare", field: "labels", key: "third", operator: "=", value: "2" } as const;
    expect(await walk(byId, 7, filter)).toEqual(all.filter((_, index) => index % 3 === 2));
  });

  test("have a token only where more follows", async () => {
    expect((await registry.models.list({ size: COUNT, token: "", order: byId })).nextToken).toBe("");
    expect((await registry.models.list({ size: COUNT - 1, token: "", order: byId })).nextToken).not.toBe("");
  });

  test("keep what was counted with the first one", async () => {
    await using other = await openRegistry();
    for (const id of ["a", "b", "c"]) await other.models.create(newModel(id), {});
    const first = await other.models.list({ size: 1, token: "", order: byId });
    await other.models.create(newModel("aa"), {});
    await other.models.delete("c", { etag: "", force: false });
    const second = await other.models.list({ size: 5, token: first.nextToken, order: byId });
    expect(second.items.map(({ id }) => id)).toEqual(["aa", "b"]);
    expect(second).toMatchObject({ totalSize: 3, sequence: 3 });
  });
});

describe("a token", () => {
  const invalid = { reason: "PAGE_TOKEN_INVALID", violations: [{ field: "page_token" }] };

  test("of another query is refused", async () => {
    const { nextToken } = await registry.models.list({ size: 5, token: "", order: byId });
    const filter = { kind: "compare", field: "type", operator: "=", value: "LLM" } as const;
    for (const request of [
      { order: { field: "id", descending: true } as const },
      { order: { field: "create_time", descending: false } as const },
      { order: byId, filter },
    ]) {
      await expect(registry.models.list({ size: 5, token: nextToken, ...request })).rejects.toMatchObject(invalid);
    }
    await expect(registry.workers.list({ size: 5, token: nextToken })).rejects.toMatchObject(invalid);
    await expect(registry.models.listVersions("m000", { size: 5, token: nextToken })).rejects.toMatchObject(invalid);
    expect((await registry.models.list({ size: 3, token: nextToken, order: byId })).items[0]?.id).toBe("m005");
  });

  test("that was tampered with, or is none, is refused", async () => {
    const { nextToken } = await registry.models.list({ size: 5, token: "", order: byId });
    const bytes = Buffer.from(nextToken, "base64url");
    const flipped = Buffer.from(bytes);
    flipped[flipped.length - 5] = (flipped[flipped.length - 5] ?? 0) ^ 1;
    const random = Buffer.from([1, 2, 3, 250, 251]).toString("base64url");
    for (const token of [
      "x",
      "a b",
      "\0",
      "=",
      random,
      flipped.toString("base64url"),
      `${nextToken}A`,
      nextToken.slice(0, -4),
      "A".repeat(5000),
    ]) {
      await expect(registry.models.list({ size: 5, token, order: byId })).rejects.toMatchObject(invalid);
    }
  });

  test("reads as it was written", () => {
    const position = { key: ["ü/x", 5], counts: { totalSize: 7, sequence: 2 ** 53 - 1 } };
    const token = encodePageToken(["q"], position);
    expect(token).toMatch(/^[A-Za-z0-9_-]+$/);
    expect(decodePageToken(["q"], token)).toEqual(position);
    expect(() => decodePageToken(["p"], token)).toThrow(expect.objectContaining({ reason: "PAGE_TOKEN_INVALID" }));
  });
});
