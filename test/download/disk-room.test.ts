import { expect, it } from "vitest";
import { DiskRoom } from "../../src/download/disk-room.ts";

const MiB = 1024 * 1024;
const never = new AbortController().signal;

function room(freeBytes: number): DiskRoom {
  return new DiskRoom({ space: async () => ({ freeBytes }) }, 0);
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

it("counts the steps of several files of unknown size that grow at once", async () => {
  const disk = room(40 * MiB);
  await Promise.all([1, 2].map(() => disk.stepwise("a").take(1, never)));
  await expect(disk.reserve("b", 10 * MiB)).rejects.toMatchObject({ reason: "DISK_FULL" });
  await disk.reserve("b", 8 * MiB);
});
