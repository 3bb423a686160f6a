import { Code } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { type ContractContext, createAvailableModel, createModel, expectError } from "./context.ts";

/** What every client sees of ModelService's versions and aliases. */
export function describeVersions(context: () => ContractContext): void {
  it("reads and lists versions", async () => {
    const { models, files } = context();
    const { id } = await createAvailableModel(context());
    const { version } = await models.getVersion({ modelRef: id });
    expect(version).toMatchObject({ modelId: id, version: 1, fileCount: files.length });
    expect(version?.files.map(({ path, size }) => ({ path, size: Number(size) }))).toEqual(
      files.map(({ path, bytes }) => ({ path, size: bytes.length })).sort((a, b) => (a.path < b.path ? -1 : 1)),
    );
    const list = await models.listVersions({ modelId: id });
    expect(list.versions).toHaveLength(1);
    expect(list.versions[0]).toMatchObject({ version: 1, files: [], manifestDigest: version?.manifestDigest });
    expect(list.totalSize).toBe(1n);
  });

  it("tells what is missing: model, version, alias", async () => {
    const { models } = context();
    const { id } = await createModel(context());
    await expectError(models.getVersion({ modelRef: id }), Code.NotFound, "VERSION_NOT_FOUND");
    await expectError(models.getVersion({ modelRef: `${id}@7` }), Code.NotFound, "VERSION_NOT_FOUND");
    await expectError(models.getVersion({ modelRef: `${id}@nobody` }), Code.NotFound, "ALIAS_NOT_FOUND");
    await expectError(models.getVersion({ modelRef: `${id}x@1` }), Code.NotFound, "MODEL_NOT_FOUND");
    await expectError(models.getVersion({ modelRef: `${id}@` }), Code.InvalidArgument, "FIELD_INVALID");
    await expectError(models.getVersion({ modelRef: `${id}@0` }), Code.InvalidArgument, "FIELD_INVALID");
  });

  it("pins and labels a version, guarded by etag", async () => {
    const { models } = context();
    const { id } = await createAvailableModel(context());
    const { version } = await models.updateVersion({
      version: { modelId: id, version: 1, pinned: true, labels: { tested: "yes" } },
    });
    expect(version).toMatchObject({ pinned: true, labels: { tested: "yes" } });
    const stale = { modelId: id, version: 1, pinned: false, etag: "stale" };
    await expectError(
      models.updateVersion({ version: stale, updateMask: { paths: ["pinned"] } }),
      Code.Aborted,
      "ETAG_MISMATCH",
    );
    const { version: unpinned } = await models.updateVersion({
      version: { ...stale, etag: version?.etag ?? "" },
      updateMask: { paths: ["pinned"] },
    });
    expect(unpinned).toMatchObject({ pinned: false, labels: { tested: "yes" } });
  });

  it("sets, follows, moves and deletes aliases", async () => {
    const { models } = context();
    const { id } = await createAvailableModel(context());
    const { alias } = await models.setAlias({ modelId: id, alias: "production", version: 1 });
    expect(alias).toMatchObject({ modelId: id, alias: "production", version: 1 });
    const { model, version } = await models.getModel({ modelRef: `${id}@production` });
    expect(version?.version).toBe(1);
    expect(model?.aliases.map((each) => each.alias)).toEqual(["production"]);
    await expectError(models.deleteVersion({ modelId: id, version: 1 }), Code.FailedPrecondition, "RESOURCE_IN_USE");
    await models.deleteAlias({ modelId: id, alias: "production" });
    await expectError(models.deleteAlias({ modelId: id, alias: "production" }), Code.NotFound, "ALIAS_NOT_FOUND");
    await models.deleteVersion({ modelId: id, version: 1 });
    await expectError(models.getVersion({ modelRef: `${id}@1` }), Code.NotFound, "VERSION_NOT_FOUND");
  });

  it.each([["123"], ["latest"], ["Latest"], ["a/b"], [""], ["x".repeat(97)]])("refuses the alias %j", async (alias) => {
    const call = context().models.setAlias({ modelId: "any", alias, version: 1 });
    const [violation] = await expectError(call, Code.InvalidArgument, "FIELD_INVALID");
    expect(violation?.field).toBe("alias");
  });

  it("refuses an alias for a version that is not there", async () => {
    const { id } = await createModel(context());
    const call = context().models.setAlias({ modelId: id, alias: "canary", version: 9 });
    await expectError(call, Code.NotFound, "VERSION_NOT_FOUND");
  });
}
