import { expect, it } from "vitest";
import { DomainError } from "../../src/domain/errors.ts";
import { failureOf } from "../../src/domain/failure.ts";

it("a failure can be kept whatever text of a source its error quotes", () => {
  const error = new DomainError("SOURCE_UNAVAILABLE", "bad path 'a\0b\ud800'", { metadata: { path: "\0" } });
  expect(failureOf(error)).toEqual({
    reason: "SOURCE_UNAVAILABLE",
    message: "bad path 'a\ufffdb\ufffd'",
    metadata: { path: "\ufffd" },
  });
});

it("what is no error of ours is told without its words", () => {
  expect(failureOf(new Error("secret"))).toEqual({ reason: "INTERNAL", message: "internal error", metadata: {} });
});
