import { createHash, randomBytes } from "node:crypto";
import { interleave, median, type Results } from "../support/interleave.ts";
import { watchMemory } from "../support/process-usage.ts";
import type { ProgramUsage } from "../support/programs.ts";
import { boundedBytes, type Row, shareOfRate, shareOfTime, timesFaster } from "../support/row.ts";
import { type DownloadBench, sourceFileAt } from "./context.ts";
import { type Measure, measureDownloads } from "./measure.ts";
import { findPeers, PEER } from "./peers.ts";

const OURS = "ours";
const SHA256 = "SHA-256 of one core";
const GIB = 1024 ** 3;

/** What every contender tells; only we tell the bytes' verification apart from their sync. */
type Timing = ProgramUsage & Partial<Measure>;

/** One big file against everybody else, and what it costs. */
export async function oneFile(bench: DownloadBench): Promise<Row[]> {
  await using opened = new AsyncDisposableStack();
  const { size, rounds, settle, origins } = bench;
  const file = await bench.file("big.bin", size);
  const service = opened.use(await bench.startService());
  const memory = await watchMemory(service.process.pid);
  const ours = { name: OURS, run: () => measureDownloads(service, [sourceFileAt(origins.http, file)]) };
  const sha256 = { name: SHA256, run: async () => hashFor(size) };
  const contenders = [ours, ...(await findPeers(bench, file, opened)), sha256];
  const results = await interleave<Timing>(contenders, rounds, settle);
  const rows = [...timeRows(results), ...hashRows(results, size), ...cpuRows(results, size)];
  return [...rows, boundedBytes("one file: memory beyond idle", await memory?.extra(), 150)];
}

function timeRows(results: Results<Timing>): Row[] {
  const targets: readonly [string, number?][] = [
    [PEER.curlWithSha256, 2.3],
    [PEER.aria2],
    [PEER.aria2WithChecksum, 7],
    [PEER.huggingFace, 3],
  ];
  const moments = [
    { what: "verified", ours: verifiedSecondsOf(results) },
    { what: "published, synced", ours: secondsOf(results, OURS) },
  ];
  return moments.flatMap(({ what, ours }) => [
    ...[PEER.curl]
      .filter((name) => results.has(name))
      .map((name) =>
        shareOfTime(`one file, ${what}: share of the time of ${name}`, ours, secondsOf(results, name), 0.75),
      ),
    ...targets
      .filter(([name]) => results.has(name))
      .map(([name, least]) =>
        timesFaster(`one file, ${what}: times faster than ${name}`, ours, secondsOf(results, name), least),
      ),
  ]);
}

function hashRows(results: Results<Timing>, size: number): Row[] {
  const ours = size / verifiedSecondsOf(results);
  return [shareOfRate(`one file, verified: share of the ${SHA256}`, ours, size / secondsOf(results, SHA256), 0.83)];
}

function cpuRows(results: Results<Timing>, size: number): Row[] {
  const perGib = (name: string) => {
    const known = (results.get(name) ?? []).flatMap(({ cpuSeconds }) => (cpuSeconds === undefined ? [] : [cpuSeconds]));
    return known.length === 0 ? undefined : (median(known) * GIB) / size;
  };
  const [ours, peer] = [perGib(OURS), perGib(PEER.curlWithSha256)];
  if (ours === undefined || peer === undefined) return [];
  return [shareOfTime(`processor time a GiB: share of that of ${PEER.curlWithSha256}`, ours, peer, 1.3)];
}

function secondsOf(results: Results<Timing>, name: string): number {
  return median((results.get(name) ?? []).map(({ seconds }) => seconds));
}

function verifiedSecondsOf(results: Results<Timing>): number {
  return median((results.get(OURS) ?? []).map(({ seconds, verifiedSeconds = seconds }) => verifiedSeconds));
}

/** How long one core needs to hash `size` bytes, told from one second of it. */
function hashFor(size: number): ProgramUsage {
  const piece = randomBytes(1 << 20);
  const hash = createHash("sha256");
  const startedAt = performance.now();
  let hashed = 0;
  for (; performance.now() - startedAt < 1000; hashed += piece.length) hash.update(piece);
  const took = (performance.now() - startedAt) / 1000;
  return { seconds: (took * size) / hashed, cpuSeconds: undefined };
}
