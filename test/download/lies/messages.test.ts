import { afterAll, beforeAll, describe, it } from "vitest";
import type { Answer } from "../../support/lying-origin.ts";
import { type Bend, type Content, content, falsified, lieToGet, reply, SIZE } from "./support/answers.ts";
import { createLab, type Lab, type Refusal, type RunOptions } from "./support/lab.ts";

let lab: Lab;
beforeAll(async () => {
  lab = await createLab();
});
afterAll(() => lab.close());

const bent = (bend: Bend) => (object: Content) => lieToGet(object, (exchange) => reply(exchange, object, bend));
const status = (code: number) => (object: Content) =>
  lieToGet(object, (exchange) => exchange.head({ status: code, headers: { "content-length": 0 } }));

/** The file's name in the model, which is no part of its address. */
const PATH = "weights/model.bin";

describe("an error names the file as the model does, the host of the source and the cause, when", () => {
  it.each<[string, (object: Content) => Answer, Pick<Refusal, "reason" | "cause">, RunOptions]>([
    ["the source forbids it", status(403), { reason: "SOURCE_FORBIDDEN", cause: /may not be read.*403/ }, {}],
    ["the source does not have it", status(404), { reason: "SOURCE_FILE_NOT_FOUND", cause: /not there.*404/ }, {}],
    ["the source cannot answer", status(503), { reason: "SOURCE_UNAVAILABLE", cause: /cannot answer.*503/ }, {}],
    ["connections break", bent({ cutAfter: 0 }), { reason: "SOURCE_UNAVAILABLE", cause: /broke off|ended/ }, {}],
    [
      "bytes are compressed",
      bent({ headers: { "content-encoding": "gzip" } }),
      { reason: "CONTENT_MISMATCH", cause: /compressed/ },
      {},
    ],
    [
      "bytes do not match",
      (object) => lieToGet(object, (exchange) => reply(exchange, { ...object, bytes: falsified(object.bytes) })),
      { reason: "CONTENT_MISMATCH", cause: /do not match their digest/ },
      {},
    ],
    [
      "the size is another one",
      bent({ whole: true, headers: { "content-length": SIZE - 1 }, body: (bytes) => bytes.subarray(1) }),
      { reason: "CONTENT_MISMATCH", cause: /announced/ },
      {},
    ],
    [
      "there are too many bytes",
      bent({
        whole: true,
        headers: { "content-length": undefined },
        body: (bytes) => Buffer.concat([bytes, bytes]),
        cutAfter: 2 * SIZE,
      }),
      { reason: "CONTENT_MISMATCH", cause: /more than/ },
      {},
    ],
    [
      "nothing comes",
      (object) => lieToGet(object, () => new Promise<void>(() => {})),
      { reason: "SOURCE_UNAVAILABLE", cause: /sent nothing/ },
      { timing: { stallMs: 50 } },
    ],
    [
      "the address is not allowed",
      (object) =>
        lieToGet(object, (exchange) =>
          exchange.head({ status: 302, headers: { location: "http://10.0.0.1/model.bin", "content-length": 0 } }),
        ),
      { reason: "ADDRESS_NOT_ALLOWED", cause: /not at a public address/ },
      {},
    ],
    [
      "lengths are beyond reason",
      bent({ headers: { "content-length": "18446744073709551617" } }),
      { reason: "SOURCE_UNAVAILABLE", cause: /does not speak HTTP as it should/ },
      {},
    ],
    [
      "heads are beyond reason",
      bent({ headers: { "x-large": "y".repeat(1 << 20) } }),
      { reason: "SOURCE_UNAVAILABLE", cause: /does not speak HTTP as it should/ },
      {},
    ],
  ])("%s", async (_, lie, refusal, options) => {
    const object = content();
    const origin = await lab.origin(lie(object));
    const file = { path: PATH, url: `${origin.base}/cdn/4711?sig=s3cret`, sha256: object.sha256 };
    const outcome = await lab.run([file], options);
    await lab.expectRefused(outcome, { ...refusal, host: origin.host, file: new RegExp(PATH) });
  });
});
