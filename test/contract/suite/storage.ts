import { Code } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { type ContractContext, createAvailableModel, expectError } from "./context.ts";

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
}
