import { expect, it } from "vitest";
import { DiskRoom } from "../../src/download/disk-room.ts";

const MiB = 1024 * 1024;
const GiB = 1024 * MiB;
const never = new AbortController().signal;

function room(freeBytes: number): DiskRoom {
  return new DiskRoom({ spoolSpace: async () => ({ freeBytes }) }, { bytes: 0 });
}

it("keeps what one download was promised from the others, until it is written", async () => {
  const disk = room(10);
  await disk.reserve("a", 8);
  await expect(disk.reserve("b", 3)).rejects.toMatchObject({ reason: "DISK_FULL" });
  disk.spend("a", 8);
  await disk.reserve("b", 3);
});

it("keeps it once more when what was written is void", async () => {
  const disk = room(10);
  await disk.reserve("a", 8);
  disk.spend("a", 6);
  disk.spend("a", -6);
  await expect(disk.reserve("b", 3)).rejects.toMatchObject({ reason: "DISK_FULL" });
});

it.each([
  [20, 1],
  [10, 1],
  [100, 5],
])("of %d GiB leaves %d GiB free unless told otherwise", async (capacity, headroom) => {
  const space = { capacityBytes: capacity * GiB, freeBytes: 8 * GiB };
  const disk = new DiskRoom({ spoolSpace: async () => space });
  expect(await disk.available()).toBe((8 - headroom) * GiB);
  await expect(disk.reserve("a", (8 - headroom) * GiB + 1)).rejects.toMatchObject({
    reason: "DISK_FULL",
    metadata: { free_bytes: String(8 * GiB), reserved_bytes: "0", headroom_bytes: String(headroom * GiB) },
  });
  await disk.reserve("b", GiB);
  expect(await disk.available()).toBe((7 - headroom) * GiB);
  await expect(disk.reserve("a", 7 * GiB)).rejects.toMatchObject({ metadata: { reserved_bytes: String(GiB) } });
  const small = new DiskRoom({ spoolSpace: async () => space }, { percent: 3 });
  expect(await small.available()).toBe(8 * GiB - Math.ceil(0.03 * capacity * GiB));
});

it("counts the steps of several files of unknown size that grow at once", async () => {
  const disk = room(40 * MiB);
  await Promise.all([1, 2].map(() => disk.stepwise("a").take(1, never)));
  await expect(disk.reserve("b", 10 * MiB)).rejects.toMatchObject({ reason: "DISK_FULL" });
  await disk.reserve("b", 8 * MiB);
});
