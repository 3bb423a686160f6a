import { Code } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { ModelStatus, ModelType } from "../../../gen/modelmanager/v1/model_pb.ts";
import { type ContractContext, createAvailableModel, createModel, expectError, freshId } from "./context.ts";

/** What every client sees of ModelService's models. */
export function describeModels(context: () => ContractContext): void {
  it("creates a model and reads it back", async () => {
    const id = freshId("Org/Create");
    const created = await createModel(context(), id, { team: "search" });
    expect(created).toMatchObject({
      id,
      type: ModelType.LLM,
      status: ModelStatus.REGISTERED,
      labels: { team: "search" },
    });
    expect(created.latestVersion).toBeUndefined();
    const { model, version } = await context().models.getModel({ modelRef: id.toLowerCase() });
    expect(model).toEqual(created);
    expect(version).toBeUndefined();
  });

  it("answers the same request_id with the first answer, and refuses the id to others", async () => {
    const { models } = context();
    const request = {
      model: { id: freshId("once"), type: ModelType.OTHER, source: { kind: { case: "upload" as const, value: {} } } },
      requestId: freshId("request"),
    };
    const first = await models.createModel(request);
    expect((await models.createModel(request)).model).toEqual(first.model);
    const other = { ...request, model: { ...request.model, type: ModelType.LLM } };
    const [violation] = await expectError(models.createModel(other), Code.InvalidArgument, "FIELD_INVALID");
    expect(violation?.field).toBe("request_id");
    const again = { model: { ...request.model, id: request.model.id.toUpperCase() } };
    await expectError(models.createModel(again), Code.AlreadyExists, "MODEL_EXISTS");
  });

  it("lets one of two racing creators win", async () => {
    const id = freshId("race");
    const outcomes = await Promise.allSettled([createModel(context(), id), createModel(context(), id)]);
    expect(outcomes.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
  });

  it("validates without writing", async () => {
    const { models } = context();
    const id = freshId("dry");
    const model = { id, type: ModelType.LLM, source: { kind: { case: "upload" as const, value: {} } } };
    expect((await models.createModel({ model, validateOnly: true })).model?.id).toBe(id);
    await expectError(models.getModel({ modelRef: id }), Code.NotFound, "MODEL_NOT_FOUND");
  });

  it.each([
    ["a/../b", "model.id"],
    ["/a", "model.id"],
    ["a/", "model.id"],
    ["a\u0001", "model.id"],
    ["a..b", "model.id"],
    ["x".repeat(300), "model.id"],
    ["api/x", "model.id"],
    ["Blobs", "model.id"],
    ["org/versions", "model.id"],
    ["", "model.id"],
  ])("refuses the id %j", async (id, field) => {
    const model = { id, type: ModelType.LLM, source: { kind: { case: "upload" as const, value: {} } } };
    const [violation] = await expectError(
      context().models.createModel({ model }),
      Code.InvalidArgument,
      "FIELD_INVALID",
    );
    expect(violation?.field).toBe(field);
  });

  it.each([["../x"], ["/x"], ["a\\..\\b"], ["C:x"], ["a//b"], ["./a"], ["a\u0000"]])(
    "refuses the file path %j",
    async (path) => {
      const source = { kind: { case: "http" as const, value: { files: [{ url: "https://example.com/a", path }] } } };
      const call = context().models.createModel({ model: { id: freshId("path"), type: ModelType.LLM, source } });
      const [violation] = await expectError(call, Code.InvalidArgument, "FIELD_INVALID");
      expect(violation?.field).toBe("model.source.http.files[0].path");
    },
  );

  it("refuses two files of one path, a folder for a file, other schemes and malformed digests", async () => {
    const { models } = context();
    const withFiles = (files: { url: string; path?: string; sha256?: string }[]) =>
      models.createModel({
        model: { id: freshId("files"), type: ModelType.LLM, source: { kind: { case: "http", value: { files } } } },
      });
    const url = "https://example.com/a";
    for (const [files, field] of [
      [[{ url }, { url }], "model.source.http.files[1].path"],
      [[{ url }, { url, path: "a/b" }], "model.source.http.files[1].path"],
      [[{ url: "ftp://example.com/a" }], "model.source.http.files[0].url"],
      [[{ url: "file:///etc/passwd" }], "model.source.http.files[0].url"],
      [[{ url, sha256: "abc" }], "model.source.http.files[0].sha256"],
      [[{ url: "https://example.com/" }], "model.source.http.files[0].path"],
      [[], "model.source.http.files"],
    ] as const) {
      const [violation] = await expectError(withFiles([...files]), Code.InvalidArgument, "FIELD_INVALID");
      expect(violation?.field).toBe(field);
    }
  });

  it("requires a type, a source, and a base model for an adapter alone", async () => {
    const { models } = context();
    const source = { kind: { case: "upload" as const, value: {} } };
    for (const [model, field] of [
      [{ id: freshId("x"), source }, "model.type"],
      [{ id: freshId("x"), type: 99 as ModelType, source }, "model.type"],
      [{ id: freshId("x"), type: ModelType.LLM }, "model.source"],
      [{ id: freshId("x"), type: ModelType.ADAPTER, source }, "model.base_model_id"],
      [{ id: freshId("x"), type: ModelType.LLM, source, baseModelId: "y" }, "model.base_model_id"],
    ] as const) {
      const [violation] = await expectError(models.createModel({ model }), Code.InvalidArgument, "FIELD_INVALID");
      expect(violation?.field).toBe(field);
    }
    const orphan = { id: freshId("x"), type: ModelType.ADAPTER, source, baseModelId: freshId("nobody") };
    await expectError(models.createModel({ model: orphan }), Code.NotFound, "MODEL_NOT_FOUND");
  });

  it("lists pages in order, filtered, with tokens that belong to their query", async () => {
    const { models } = context();
    const team = freshId("team");
    const ids = [freshId("list"), freshId("list"), freshId("list")].sort();
    for (const id of ids) await createModel(context(), id, { team });
    const query = { pageSize: 2, filter: `labels.team = "${team}" AND type = LLM`, orderBy: "id" };
    const first = await models.listModels(query);
    expect(first.models.map(({ id }) => id)).toEqual(ids.slice(0, 2));
    expect(first.totalSize).toBe(3n);
    const second = await models.listModels({ ...query, pageToken: first.nextPageToken });
    expect(second.models.map(({ id }) => id)).toEqual(ids.slice(2));
    expect(second).toMatchObject({ nextPageToken: "", totalSize: 3n, sequence: first.sequence });
    const newest = await models.listModels({ ...query, orderBy: "create_time desc" });
    expect(newest.models[0]?.id).toBe(ids[2] === undefined ? "" : newest.models[0]?.id);
    for (const pageToken of [first.nextPageToken, "garbage", "AAAA"]) {
      const call = models.listModels({ ...query, filter: "", pageToken });
      await expectError(call, Code.InvalidArgument, "PAGE_TOKEN_INVALID");
    }
  });

  it.each([
    ["type = "],
    ["type = LLM AND"],
    ["nosuch = 1"],
    ["type = NOPE"],
    ["(type = LLM"],
    ['id = "x'],
    ["create_time > yesterday"],
  ])("refuses the filter %j and says where", async (filter) => {
    const call = context().models.listModels({ filter });
    await expectError(call, Code.InvalidArgument, "FILTER_INVALID");
    await expect(call).rejects.toThrow(/column \d+/);
  });

  it("refuses an order_by that it does not know", async () => {
    const call = context().models.listModels({ orderBy: "size" });
    const [violation] = await expectError(call, Code.InvalidArgument, "FIELD_INVALID");
    expect(violation?.field).toBe("order_by");
  });

  it("updates what the mask names, and guards by etag", async () => {
    const { models } = context();
    const { id, etag } = await createModel(context(), undefined, { a: "1" });
    const change = { id, etag, displayName: "Shown", description: "not named" };
    const { model } = await models.updateModel({ model: change, updateMask: { paths: ["display_name"] } });
    expect(model).toMatchObject({ displayName: "Shown", description: "", labels: { a: "1" } });
    expect(model?.etag).not.toBe(etag);
    await expectError(models.updateModel({ model: change }), Code.Aborted, "ETAG_MISMATCH");
    const cleared = await models.updateModel({ model: { id }, updateMask: { paths: ["labels"] } });
    expect(cleared.model?.labels).toEqual({});
    const call = models.updateModel({ model: { id }, updateMask: { paths: ["status"] } });
    const [violation] = await expectError(call, Code.InvalidArgument, "FIELD_INVALID");
    expect(violation?.field).toBe("update_mask");
  });

  it("deletes a model, and guards by etag", async () => {
    const { models } = context();
    const { id } = await createAvailableModel(context());
    await expectError(models.deleteModel({ modelId: id, etag: "stale" }), Code.Aborted, "ETAG_MISMATCH");
    await models.deleteModel({ modelId: id });
    await expectError(models.getModel({ modelRef: id }), Code.NotFound, "MODEL_NOT_FOUND");
    await expectError(models.deleteModel({ modelId: id }), Code.NotFound, "MODEL_NOT_FOUND");
  });
}
