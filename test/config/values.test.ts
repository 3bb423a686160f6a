import { describe, expect, it } from "vitest";
import { formatBytes, humanBytes, parseBytes } from "../../src/lib/bytes.ts";
import { formatDuration, humanDuration, parseDuration } from "../../src/lib/duration.ts";
import { formatPortion, parsePortion, portionOf } from "../../src/lib/portion.ts";

describe("portions", () => {
  it.each([
    ["512MiB", 512 * 1024 ** 2],
    ["0", 0],
    ["3%", 30],
    ["2.5 %", 25],
    ["100%", 1000],
    ["0.01%", 1],
  ])("read %j of 1000 bytes", (text, bytes) => {
    expect(portionOf(parsePortion(text), 1000)).toBe(bytes);
    expect(parsePortion(formatPortion(parsePortion(text)))).toEqual(parsePortion(text));
  });

  it.each(["", "%", "101%", "-1%", "many", "5 percent"])("refuses %j", (text) => {
    expect(() => parsePortion(text)).toThrow("must be a size such as 512MiB, or a share of the whole from 0% to 100%");
  });
});

describe("durations", () => {
  it.each([
    ["500ms", 500],
    ["30s", 30_000],
    ["5m", 300_000],
    ["1h", 3_600_000],
    ["1h30m", 5_400_000],
    ["1.5s", 1_500],
    [" 0s ", 0],
  ])("reads %j", (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  it.each(["", "30", "s", "30 s", "-5s", "5d", "1e3s", "30s!", "99999999999999999h"])("refuses %j", (text) => {
    expect(() => parseDuration(text)).toThrow("must be a duration with its unit, such as 500ms, 30s, 5m or 1h");
  });

  it.each([0, 1, 500, 30_000, 61_001, 3_600_000, 5_400_000])("prints %d ms as it reads them", (ms) => {
    expect(parseDuration(formatDuration(ms))).toBe(ms);
  });

  it.each([
    [0, "0.0s"],
    [432, "0.4s"],
    [9_949, "9.9s"],
    [9_950, "10s"],
    [59_499, "59s"],
    [59_500, "1m00s"],
    [185_000, "3m05s"],
    [3_599_600, "1h00m"],
    [7_800_000, "2h10m"],
    [4 * 86_400_000 + 3 * 3_600_000, "4d03h"],
    [-1, "-"],
    [Number.NaN, "-"],
    [Number.POSITIVE_INFINITY, "-"],
  ])("shows %d ms to people as %s", (ms, text) => {
    expect(humanDuration(ms)).toBe(text);
  });
});

describe("sizes", () => {
  it.each([
    ["4096", 4096],
    ["0", 0],
    ["64MiB", 64 * 1024 ** 2],
    ["1GiB", 1024 ** 3],
    ["10GB", 10_000_000_000],
    ["10gb", 10_000_000_000],
    ["1.5 KiB", 1536],
    ["7B", 7],
  ])("reads %j", (text, bytes) => {
    expect(parseBytes(text)).toBe(bytes);
  });

  it.each(["", "MiB", "-1", "1 XB", "1e6", "64 MiB/s", "999999PiB"])("refuses %j", (text) => {
    expect(() => parseBytes(text)).toThrow("must be a size such as 64MiB, 1GiB, 10GB or a plain number of bytes");
  });

  it.each([0, 1000, 1024, 1536, 64 * 1024 ** 2, 10_000_000_000])("prints %d bytes as it reads them", (bytes) => {
    expect(parseBytes(formatBytes(bytes))).toBe(bytes);
  });

  it.each([
    [0, "0 B"],
    [1023, "1023 B"],
    [1024, "1.0 KiB"],
    [1536, "1.5 KiB"],
    [1024 ** 2 - 1, "1.0 MiB"],
    [35_850_000n, "34.2 MiB"],
    [120 * 1024 ** 3, "120 GiB"],
  ])("shows %d bytes to people as %s", (bytes, text) => {
    expect(humanBytes(bytes)).toBe(text);
  });
});
