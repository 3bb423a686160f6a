import { describe, expect, test } from "vitest";
import type { Filter } from "../../src/domain/filter.ts";
import {
  DOWNLOAD_FILTER_FIELDS,
  MODEL_FILTER_FIELDS,
  parseFilter,
  WORKER_FILTER_FIELDS,
} from "../../src/domain/parse-filter.ts";

const parse = (text: string) => parseFilter(text, MODEL_FILTER_FIELDS);
const compare = (field: string, operator: string, value: unknown, key?: string) => ({
  kind: "compare",
  field,
  operator,
  value,
  ...(key === undefined ? {} : { key }),
});
const id = (value: string) => compare("id", "=", value) as Filter;

test("nothing is no filter", () => {
  for (const text of ["", " ", "\t\n"]) expect(parse(text)).toBeUndefined();
});

describe("comparisons", () => {
  test.each([
    ["id = llama3", id("llama3")],
    ["id=llama3", id("llama3")],
    ['  id  =  "llama3"  ', id("llama3")],
    ["id = 'a b'", id("a b")],
    ["id = Qwen/Qwen2.5-0.5B", id("Qwen/Qwen2.5-0.5B")],
    [String.raw`id = "a\"b\\c\*d"`, id('a"b\\c*d')],
    [`id = "it's"`, id("it's")],
    ['id = "AND"', id("AND")],
    ['id = "Qwen/*"', compare("id", "prefix", "Qwen/")],
    ["id = Qwen/*", compare("id", "prefix", "Qwen/")],
    ["id != Qwen/*", { kind: "not", operand: compare("id", "prefix", "Qwen/") }],
    ["type = LLM", compare("type", "=", "LLM")],
    ["type != MODEL_TYPE_LLM", compare("type", "!=", "LLM")],
    ["status = DOWNLOADING", compare("status", "=", "DOWNLOADING")],
    ['labels.team = "search"', compare("labels", "=", "search", "team")],
    ["labels.a.b = x", compare("labels", "=", "x", "a.b")],
    ['labels."a/b" != "x"', compare("labels", "!=", "x", "a/b")],
    ["labels.team = se*", compare("labels", "prefix", "se", "team")],
    ["labels:team", compare("labels", "has", "", "team")],
    ['labels : "a/b"', compare("labels", "has", "", "a/b")],
    ["labels.team:*", compare("labels", "has", "", "team")],
    ["labels.team:x", compare("labels", "=", "x", "team")],
    ['create_time > "2026-01-31T23:59:59Z"', compare("create_time", ">", new Date("2026-01-31T23:59:59Z"))],
    ["create_time<=2026-01-31t00:00:00.5+01:00", compare("create_time", "<=", new Date("2026-01-30T23:00:00.500Z"))],
    ['update_time = "2024-02-29T00:00:00Z"', compare("update_time", "=", new Date("2024-02-29T00:00:00Z"))],
  ])("%s", (text, expected) => {
    expect(parse(text)).toEqual(expected);
  });

  test("know the fields of each list", () => {
    expect(parseFilter('model_id = "a" AND state = DOWNLOAD_STATE_FAILED', DOWNLOAD_FILTER_FIELDS)).toEqual({
      kind: "and",
      operands: [compare("model_id", "=", "a"), compare("state", "=", "FAILED")],
    });
    expect(parseFilter("cordoned = true", WORKER_FILTER_FIELDS)).toEqual(compare("cordoned", "=", true));
    expect(parseFilter("draining != false", WORKER_FILTER_FIELDS)).toEqual(compare("draining", "!=", false));
  });
});

describe("logic", () => {
  const [a, b, c, d] = ["a", "b", "c", "d"].map(id);

  test.each([
    ["id = a AND id = b AND id = c", { kind: "and", operands: [a, b, c] }],
    // OR binds tighter than AND.
    ["id = a AND id = b OR id = c AND id = d", { kind: "and", operands: [a, { kind: "or", operands: [b, c] }, d] }],
    ["(id = a AND id = b) OR id = c", { kind: "or", operands: [{ kind: "and", operands: [a, b] }, c] }],
    ["NOT id = a OR id = b", { kind: "or", operands: [{ kind: "not", operand: a }, b] }],
    ["-id = a", { kind: "not", operand: a }],
    [
      "NOT (id = a AND -(id = b))",
      { kind: "not", operand: { kind: "and", operands: [a, { kind: "not", operand: b }] } },
    ],
    ["((id = a))", a],
    ["(id=a)AND(id=b)", { kind: "and", operands: [a, b] }],
  ])("%s", (text, expected) => {
    expect(parse(text)).toEqual(expected);
  });
});

describe("mistakes", () => {
  test.each([
    ["nope = 1", 1, /no field 'nope' here, but id, type, status, labels, create_time, update_time/],
    ["constructor = 1", 1, /no field/],
    ["id", 3, /expected one of = != after 'id', found the end/],
    ["id =", 5, /expected a value, found the end/],
    ["id = AND", 6, /expected a value, found 'AND'/],
    ["id < a", 4, /'id' can be compared with = != only/],
    ["id : a", 4, /'id' can be compared with = != only/],
    ["id = a id = b", 8, /expected AND, OR or the end, found 'id'/],
    ["id = a and id = b", 8, /found 'and'/],
    ["id = a AND", 11, /expected a field's name, found the end/],
    ["AND id = a", 1, /no field 'AND'/],
    ["(id = a", 8, /expected AND, OR or '\)', found the end/],
    ["id = a)", 7, /found '\)'/],
    ["()", 2, /expected a field's name, found '\)'/],
    ['id = "a', 6, /quote is not closed/],
    [String.raw`id = "a\nb"`, 8, /backslash/],
    [String.raw`id = "a\\`, 6, /not closed/],
    ["id = a*b", 7, /'\*' may stand at the end/],
    ['id = "*a"', 7, /'\*' may stand at the end/],
    ["id = aé🙂*b", 9, /'\*'/],
    ["type = llm", 8, /'type' is one of LLM, EMBEDDING/],
    ["type = MODEL_STATUS_LLM", 8, /one of/],
    ["type = LLM*", 8, /takes no '\*'/],
    ["type.x = LLM", 1, /'type' has no keys/],
    ["labels = x", 1, /needs a key, as in labels.key = "text"/],
    ["labels.team > x", 13, /compared with = != : only/],
    ["labels. = x", 8, /expected a key after '.'/],
    ["labels:te*", 8, /a key takes no/],
    ["create_time > yesterday", 15, /RFC 3339/],
    ['create_time > "2026-02-30T00:00:00Z"', 15, /RFC 3339/],
    ['create_time > "2026-02-29T00:00:00Z"', 15, /RFC 3339/],
    ['create_time > "2026-13-01T00:00:00Z"', 15, /RFC 3339/],
    ['create_time > "2026-01-01T24:00:00Z"', 15, /RFC 3339/],
    ['create_time > "2026-01-01"', 15, /RFC 3339/],
    ['create_time > "0000-01-01T00:00:00Z"', 15, /RFC 3339/],
    ["NOT", 1, /./],
    ["🙂 = 1", 1, /expected a field's name, found '🙂'/],
  ])("%s", (text, column, problem) => {
    let caught: unknown;
    try {
      parse(text);
    } catch (error) {
      caught = error;
    }
    expect(caught).toMatchObject({ reason: "FILTER_INVALID", violations: [{ field: "filter" }] });
    const { message } = caught as Error;
    expect(message).toMatch(problem);
    if (text !== "NOT") expect(message).toContain(`filter: column ${column}: `);
  });

  test("of length and depth are refused before they cost anything", () => {
    const invalid = expect.objectContaining({ reason: "FILTER_INVALID" });
    expect(() => parse(`id = ${"a".repeat(5000)}`)).toThrow(invalid);
    expect(() => parse(`${"(".repeat(2000)}id = a${")".repeat(2000)}`)).toThrow(invalid);
    expect(() => parse(`${"(".repeat(33)}id = a${")".repeat(33)}`)).toThrow(invalid);
    expect(parse(`${"(".repeat(32)}id = a${")".repeat(32)}`)).toEqual(id("a"));
    expect(() => parse(`${"NOT ".repeat(900)}id = a`)).toThrow(invalid);
  });
});
