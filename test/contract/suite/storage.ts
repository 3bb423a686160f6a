import { Code } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { type ContractContext, collect, createAvailableModel, expectError } from "./context.ts";

/** What every client sees of the store's bytes. */
export function describeStorage(context: () => ContractContext): void {
  it("tells how the store is used, and what a collection would free", async () => {
    const { models, files } = context();
    await createAvailableModel(context());
    const { storage } = await models.getStorage({});
    const total = files.reduce((sum, { bytes }) => sum + BigInt(bytes.length), 0n);
    expect(storage?.blobBytes).toBeGreaterThanOrEqual(total);
    expect(storage?.freeBytes).toBeGreaterThan(0n);
    const answer = await models.collectGarbage({ dryRun: true, grace: { seconds: 0n } });
    expect(answer.freedBytes).toBe(answer.blobs.reduce((sum, { size }) => sum + size, 0n));
    const negative = models.collectGarbage({ grace: { seconds: -1n } });
    const [violation] = await expectError(negative, Code.InvalidArgument, "FIELD_INVALID");
    expect(violation?.field).toBe("grace");
  });

  it("checks the blobs of versions, and tells how far it is", async () => {
    const { models, files } = context();
    const { id } = await createAvailableModel(context());
    const messages = await collect(models.verifyStorage({ modelRefs: [id, `${id}@1`] }));
    const totalBytes = files.reduce((sum, { bytes }) => sum + BigInt(bytes.length), 0n);
    const totalBlobs = BigInt(files.length);
    expect(messages[0]).toMatchObject({ checkedBlobs: 0n, totalBlobs, checkedBytes: 0n, totalBytes });
    expect(messages.at(-1)).toMatchObject({
      checkedBlobs: totalBlobs,
      totalBlobs,
      checkedBytes: totalBytes,
      totalBytes,
    });
    expect(messages.flatMap(({ damaged }) => damaged)).toEqual([]);
    const { version } = await models.getVersion({ modelRef: id });
    expect(version?.damagedFiles).toEqual([]);
    expect(version?.lastUsedTime?.seconds).toBeGreaterThanOrEqual(version?.createTime?.seconds ?? 0n);
  });

  it("checks nothing of what is not there", async () => {
    const { models } = context();
    const missing = collect(models.verifyStorage({ modelRefs: ["nobody"] }));
    await expectError(missing, Code.NotFound, "MODEL_NOT_FOUND");
    const wrong = collect(models.verifyStorage({ modelRefs: ["a@"] }));
    const [violation] = await expectError(wrong, Code.InvalidArgument, "FIELD_INVALID");
    expect(violation?.field).toBe("model_refs[0]");
  });
}
