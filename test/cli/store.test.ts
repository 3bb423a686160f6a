import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { afterEach, describe, expect, it } from "vitest";
import type { ModelService } from "../../gen/modelmanager/v1/model_service_pb.ts";
import { StorageSchema } from "../../gen/modelmanager/v1/storage_pb.ts";
import { formatStorage } from "../../src/cli/format/storage.ts";
import { DomainError } from "../../src/domain/errors.ts";
import { type RpcServer, startRpcServer } from "../support/rpc-server.ts";
import { runCli } from "./run-cli.ts";

const DIGEST = `sha256:${"ab".repeat(32)}`;
const BEGIN = { totalBlobs: 2n, totalBytes: 2048n };
const END = { ...BEGIN, checkedBlobs: 2n, checkedBytes: 2048n };

let server: RpcServer | undefined;
afterEach(async () => {
  await server?.close();
});

type VerifyStorage = ServiceImpl<typeof ModelService>["verifyStorage"];

async function verifying(verifyStorage: VerifyStorage, ...args: string[]) {
  server = await startRpcServer({ verifyStorage });
  return runCli(["store", "verify", ...args], { env: { MODEL_MANAGER_SERVER: server.url } });
}

describe("store verify", () => {
  it("says that nothing is wrong: 0", async () => {
    const asked: string[][] = [];
    const { code, stdout } = await verifying(
      async function* ({ modelRefs }) {
        asked.push(modelRefs);
        yield BEGIN;
        yield END;
      },
      "a",
      "b@2",
    );
    expect({ code, stdout }).toEqual({ code: 0, stdout: "checked 2 of 2 blobs, 2.0 KiB of 2.0 KiB: no damage\n" });
    expect(asked).toEqual([["a", "b@2"]]);
  });

  it("names what is damaged and who misses it: 1", async () => {
    const { code, stdout } = await verifying(async function* () {
      yield BEGIN;
      yield { ...BEGIN, damaged: [{ digest: DIGEST, size: 1024n, missing: true, modelRefs: ["a@1", "b@2"] }] };
      yield { ...END, damaged: [{ digest: DIGEST, size: 1024n }] };
    });
    expect({ code, stdout }).toEqual({
      code: 1,
      stdout:
        `missing  ${DIGEST}  1.0 KiB  of a@1, b@2\n` +
        `damaged  ${DIGEST}  1.0 KiB\n` +
        "checked 2 of 2 blobs, 2.0 KiB of 2.0 KiB: 2 damaged\n",
    });
  });

  it("prints a line of JSON for each message", async () => {
    const { code, stdout } = await verifying(async function* () {
      yield BEGIN;
      yield END;
    }, "--json");
    expect(code).toBe(0);
    const lines = stdout.trim().split("\n");
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { checkedBlobs: "0", totalBlobs: "2", damaged: [] },
      { checkedBlobs: "2", checkedBytes: "2048" },
    ]);
  });

  it("ends with what the service says where it cannot go on", async () => {
    const { code, stdout, stderr } = await verifying(async function* () {
      yield BEGIN;
      throw new DomainError("STORE_UNAVAILABLE", "the store is empty: is its disk mounted?");
    });
    expect(code).toBe(1);
    expect(stdout).toBe("");
    expect(stderr).toContain("the store is empty: is its disk mounted?");
  });
});

it("du shows the quota and what is damaged, if there is any", () => {
  const plain = formatStorage(create(StorageSchema, { blobBytes: 1024n, blobCount: 1n }));
  expect(plain).not.toMatch(/quota|damaged|quarantine/);
  const all = { quotaBytes: 1048576n, damagedBytes: 512n, damagedCount: 2n, quarantineBytes: 700n };
  const text = formatStorage(create(StorageSchema, all));
  expect(text).toMatch(/quota +1\.0 MiB\n/);
  expect(text).toMatch(/damaged +512 B in 2\n/);
  expect(text).toMatch(/quarantine +700 B\n/);
});
