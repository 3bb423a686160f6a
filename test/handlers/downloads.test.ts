import { createClient, createRouterTransport } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { ModelService } from "../../gen/modelmanager/v1/model_service_pb.ts";
import type { Downloads } from "../../src/domain/ports/downloads.ts";
import { downloadMethods } from "../../src/handlers/downloads.ts";

it("a download's id may be written in either case", async () => {
  const asked: string[] = [];
  const ask = (id: string): never => {
    asked.push(id);
    throw new Error("enough is known");
  };
  const byId = { get: ask, watch: ask, update: ask, pause: ask, resume: ask, cancel: ask };
  const downloads: Downloads = { ...byId, start: ask as never, list: ask as never };
  const transport = createRouterTransport((router) =>
    router.service(ModelService, downloadMethods(downloads, { find: ask as never })),
  );
  const client = createClient(ModelService, transport);
  const downloadId = "01890A5D-AC96-774B-BCCE-B302099A8057";
  await client.getDownload({ downloadId }).catch(() => {});
  await client.updateDownload({ downloadId }).catch(() => {});
  await client.pauseDownload({ downloadId }).catch(() => {});
  await client.resumeDownload({ downloadId }).catch(() => {});
  await client.cancelDownload({ downloadId }).catch(() => {});
  await client
    .watchDownload({ downloadId })
    [Symbol.asyncIterator]()
    .next()
    .catch(() => {});
  expect(asked).toEqual(Array(6).fill(downloadId.toLowerCase()));
});
