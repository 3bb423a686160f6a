import { createHash, randomBytes } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { expect, it } from "vitest";
import type { ImportModelRequestSchema } from "../../../gen/modelmanager/v1/model_service_pb.ts";
import { type ContractContext, createAvailableModel, createModel, expectError, freshId } from "./context.ts";

type ImportMessage = MessageInitShape<typeof ImportModelRequestSchema>;

const NOWHERE = `sha256:${"0".repeat(64)}`;

/** What every client sees of the ways that make versions of files which their owner brings. */
export function describeImports(context: () => ContractContext): void {
  it("makes a version of blobs that are in the store, and the same again of the same", async () => {
    const { models } = context();
    const { id: from } = await createAvailableModel(context());
    const { version: former } = await models.getVersion({ modelRef: from });
    const { id } = await createModel(context(), freshId("created"));
    const files = (former?.files ?? []).map(({ path, digest }) => ({ path: `other/${path}`, digest }));
    const { version } = await models.createVersion({
      modelId: id,
      files,
      resolvedRevision: "commit 1",
      license: "mit",
      labels: { from },
    });
    expect(version).toMatchObject({ version: 1, resolvedRevision: "commit 1", license: "mit", labels: { from } });
    expect(version?.totalBytes).toBe(former?.totalBytes);
    const again = await models.createVersion({ modelId: id, files: [...files].reverse(), license: "other" });
    expect(again.version).toMatchObject({ version: 1, license: "mit", manifestDigest: version?.manifestDigest });
    const { model } = await models.getModel({ modelRef: id });
    expect(model).toMatchObject({ latestVersion: 1, versionCount: 1 });
  });

  it("makes no version of what is not there, or cannot lie in one folder", async () => {
    const { models } = context();
    const { id } = await createModel(context());
    const missing = models.createVersion({ modelId: id, files: [{ path: "a", digest: NOWHERE }] });
    await expectError(missing, Code.NotFound, "BLOB_NOT_FOUND");
    const nobody = models.createVersion({ modelId: `${id}x`, files: [{ path: "a", digest: NOWHERE }] });
    await expectError(nobody, Code.NotFound, "MODEL_NOT_FOUND");
    for (const [paths, field] of [
      [[], "files"],
      [["../a"], "files[0].path"],
      [["a", "b", "a"], "files[2].path"],
      [["Read.me", "read.ME"], "files[1].path"],
      [["a", "a/b"], "files[1].path"],
      [["a/b", "a"], "files[1].path"],
    ] as const) {
      const files = paths.map((path) => ({ path, digest: NOWHERE }));
      const [violation] = await expectError(
        models.createVersion({ modelId: id, files }),
        Code.InvalidArgument,
        "FIELD_INVALID",
      );
      expect(violation?.field).toBe(field);
    }
    await expectError(models.getVersion({ modelRef: id }), Code.NotFound, "VERSION_NOT_FOUND");
  });

  it("imports files of several chunks, and such that are there without their bytes", async () => {
    const { models } = context();
    const { id } = await createModel(context());
    const [one, two, none] = [randomBytes(300_000), randomBytes(70_000), Buffer.alloc(0)];
    const messages = [
      ...fileOf(id, "weights/1.bin", one),
      ...fileOf(id, "2.bin", two),
      ...fileOf(id, "weights/copy-of-1.bin", one, { withBytes: false }),
      ...fileOf(id, "empty", none),
    ];
    const { version } = await models.importModel(streamOf(messages));
    expect(version).toMatchObject({ modelId: id, version: 1, fileCount: 4, totalBytes: 670_000n });
    expect(version?.files.map(({ path }) => path)).toEqual([
      "2.bin",
      "empty",
      "weights/1.bin",
      "weights/copy-of-1.bin",
    ]);
    const again = [
      ...fileOf(id, "2.bin", two, { withBytes: false }),
      ...fileOf(id, "empty", none),
      ...fileOf(id, "weights/1.bin", one),
      ...fileOf(id, "weights/copy-of-1.bin", one),
    ];
    expect((await models.importModel(streamOf(again))).version).toMatchObject({ version: 1 });
  });

  it("makes nothing of an import that breaks a rule", async () => {
    const { models } = context();
    const { id } = await createModel(context());
    const bytes = randomBytes(100_000);
    const [begin, ...chunks] = fileOf(id, "a", bytes);
    const header = headerOf(id, "a", bytes);
    const cases: [messages: (ImportMessage | undefined)[], code: Code, reason: string, field?: string][] = [
      [[], Code.InvalidArgument, "FIELD_INVALID", "header"],
      [chunks, Code.InvalidArgument, "FIELD_INVALID", "header"],
      [[begin], Code.NotFound, "BLOB_NOT_FOUND"],
      [[begin, chunks[0]], Code.InvalidArgument, "FIELD_INVALID", "header.size"],
      [[begin, ...chunks, ...chunks], Code.InvalidArgument, "FIELD_INVALID", "header.size"],
      [[asMessage({ ...header, digest: NOWHERE }), ...chunks], Code.DataLoss, "CONTENT_MISMATCH"],
      [[asMessage({ ...header, path: "../a" }), ...chunks], Code.InvalidArgument, "FIELD_INVALID", "header.path"],
      [[asMessage({ ...header, modelId: `${id}x` }), ...chunks], Code.NotFound, "MODEL_NOT_FOUND"],
      [
        [begin, ...chunks, asMessage({ ...header, modelId: "other" })],
        Code.InvalidArgument,
        "FIELD_INVALID",
        "header.model_id",
      ],
      [[begin, ...chunks, begin, ...chunks], Code.InvalidArgument, "FIELD_INVALID", "header.path"],
    ];
    for (const [messages, code, reason, field] of cases) {
      const sent = messages.filter((message) => message !== undefined);
      const [violation] = await expectError(models.importModel(streamOf(sent)), code, reason);
      expect(violation?.field).toBe(field);
    }
    await expectError(models.getVersion({ modelRef: id }), Code.NotFound, "VERSION_NOT_FOUND");
  });
}

/** The messages that import a file. */
function fileOf(modelId: string, path: string, bytes: Buffer, { withBytes = true } = {}): ImportMessage[] {
  const messages = [asMessage(headerOf(modelId, path, bytes))];
  for (let at = 0; withBytes && at < bytes.length; at += 64 * 1024) {
    messages.push({ part: { case: "chunk", value: bytes.subarray(at, at + 64 * 1024) } });
  }
  return messages;
}

function headerOf(modelId: string, path: string, bytes: Buffer) {
  const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  return { modelId, path, size: BigInt(bytes.length), digest };
}

function asMessage(value: ReturnType<typeof headerOf>): ImportMessage {
  return { part: { case: "header", value } };
}

async function* streamOf(messages: readonly ImportMessage[]): AsyncGenerator<ImportMessage> {
  yield* messages;
}
