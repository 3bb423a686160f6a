import { afterAll, beforeAll, it } from "vitest";
import { content, lieToGet, MiB, reply, SIZE } from "./support/answers.ts";
import { createLab, type Lab } from "./support/lab.ts";

let lab: Lab;
beforeAll(async () => {
  lab = await createLab();
});
afterAll(() => lab.close());

it("an object that was named by an etag is not continued by a range that names nothing", async () => {
  const before = content({ etag: '"one"' });
  const after = content({ etag: undefined });
  const origin = await lab.origin(
    lieToGet(before, (exchange) =>
      exchange.request.nth === 0
        ? reply(exchange, before, { cutAfter: Math.floor(SIZE / 3) })
        : reply(exchange, after, { anyVersion: true }),
    ),
  );
  await lab.expectRight(await lab.fetch(`${origin.base}/model.bin`), before, after);
});

it("one object on machines that name it differently, and that break off, is brought whole if its digest is known", async () => {
  const object = content();
  const origin = await lab.origin((exchange) =>
    reply(exchange, { ...object, etag: `"${Math.random()}"` }, { cutAfter: 2 * MiB }),
  );
  await lab.expectRight(await lab.fetch(`${origin.base}/model.bin`, { sha256: object.sha256 }), object);
});
