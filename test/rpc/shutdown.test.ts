import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ModelService } from "../../gen/modelmanager/v1/model_service_pb.ts";
import { errorDetails } from "../../src/client/error-details.ts";
import { createTransports, type RpcServer, startRpcServer } from "../support/rpc-server.ts";

const JOB = "01890a5d-ac96-774b-bcce-b302099a8057";

let server: RpcServer;
let finish: () => void;
let aborted: unknown[];
let connect: ReturnType<typeof createTransports>;

beforeEach(async () => {
  aborted = [];
  server = await startRpcServer(
    {
      getModel: () =>
        new Promise((resolve) => {
          finish = () => resolve({ model: { id: "finished" } });
        }),
      async *watchDownload(_request, { signal }) {
        signal.addEventListener("abort", () => aborted.push(signal.reason));
        yield {};
        // Takes no notice of its signal.
        await new Promise(() => {});
      },
      async *watchModels(_request, { signal }) {
        yield {};
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
        // Ends as a stream does that has told all.
      },
      async *downloadModel() {
        for (;;) {
          yield {};
          await new Promise((resolve) => setImmediate(resolve));
        }
      },
    },
    { maxStreams: 8 },
  );
  connect = createTransports(server.url);
});
afterEach(async () => {
  connect.close();
  await server.close();
});

describe("a shutdown", () => {
  it("ends running streams UNAVAILABLE on every transport, also those of deaf handlers", async () => {
    const streams = connect.transports.map(([name, transport]) => {
      const stream = createClient(ModelService, transport).watchDownload({ downloadId: JOB });
      return [name, stream[Symbol.asyncIterator]()] as const;
    });
    for (const [, stream] of streams) await stream.next();
    server.shutdown.abort();
    for (const [name, stream] of streams) {
      const details = await stream.next().catch(errorDetails);
      expect([name, details]).toMatchObject([name, { code: "UNAVAILABLE", reason: "SHUTTING_DOWN" }]);
    }
    expect(aborted.map(errorReason)).toEqual(streams.map(() => "SHUTTING_DOWN"));
  });

  it("ends no stream OK that had more to tell", async () => {
    const streams = connect.transports.map(([name, transport]) => {
      const stream = createClient(ModelService, transport).watchModels({});
      return [name, stream[Symbol.asyncIterator]()] as const;
    });
    for (const [, stream] of streams) await stream.next();
    server.shutdown.abort();
    for (const [name, stream] of streams) {
      const details = await stream.next().catch(errorDetails);
      expect([name, details]).toMatchObject([name, { code: "UNAVAILABLE", reason: "SHUTTING_DOWN" }]);
    }
  });

  it("ends a stream that never pauses", async () => {
    const [, transport] = connect.transports[0] ?? [];
    if (transport === undefined) throw new Error("no transport");
    let received = 0;
    const read = async () => {
      for await (const _message of createClient(ModelService, transport).downloadModel({ modelId: "a" })) {
        received += 1;
        if (received === 10) server.shutdown.abort();
      }
    };
    await expect(read()).rejects.toMatchObject({ code: Code.Unavailable });
    expect(received).toBeGreaterThanOrEqual(10);
  });

  it("lets running unary calls finish and refuses new ones", async () => {
    const [, transport] = connect.transports[0] ?? [];
    if (transport === undefined) throw new Error("no transport");
    const client = createClient(ModelService, transport);
    const running = client.getModel({ modelRef: "llama3" });
    await new Promise<void>((resolve) => {
      const look = () => (finish === undefined ? setImmediate(look) : resolve());
      look();
    });
    server.shutdown.abort();
    const refused = await client.getModel({ modelRef: "llama3" }).catch(errorDetails);
    expect(refused).toMatchObject({ code: "UNAVAILABLE", reason: "SHUTTING_DOWN" });
    finish();
    expect((await running).model?.id).toBe("finished");
  });
});

describe("the limit of streams", () => {
  it("refuses one more, and counts none that ended", async () => {
    const [, transport] = connect.transports[0] ?? [];
    if (transport === undefined) throw new Error("no transport");
    const client = createClient(ModelService, transport);
    const open = () => {
      const controller = new AbortController();
      const stream = client.watchDownload({ downloadId: JOB }, { signal: controller.signal })[Symbol.asyncIterator]();
      return { controller, stream };
    };
    const streams = Array.from({ length: 8 }, open);
    for (const { stream } of streams) await stream.next();
    const refused = await open().stream.next().catch(errorDetails);
    expect(refused).toMatchObject({ code: "RESOURCE_EXHAUSTED", reason: "TOO_MANY_STREAMS" });

    for (const { controller, stream } of streams) {
      controller.abort();
      await stream.next().catch(ConnectError.from);
    }
    const ended = () => server.log.lines.filter(({ fields }) => fields.code === "CANCELLED").length === 8;
    await server.log.line(ended);
    const again = await open().stream.next();
    expect(again.done).toBe(false);
  });
});

function errorReason(error: unknown): unknown {
  return typeof error === "object" && error !== null && "reason" in error ? error.reason : error;
}
