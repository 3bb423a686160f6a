import { createHash, timingSafeEqual } from "node:crypto";
import { DomainError } from "../domain/errors.ts";
import { answerJson, pathOf } from "../lib/http/answer.ts";
import type { PortHandler } from "../lib/http/handler.ts";

/** Checks the `authorization` header of a call; UNAUTHENTICATED unless it carries the token. */
export type TokenCheck = (authorization: string | null | undefined) => void;

/** Makes a check for one static bearer token; without one, every call passes. */
export function createTokenCheck(token: string | undefined): TokenCheck {
  if (token === undefined) return () => {};
  const expected = sha256(token);
  return (authorization) => {
    const [, given] = /^Bearer +(\S+)$/i.exec(authorization ?? "") ?? [];
    if (given === undefined) {
      throw new DomainError("UNAUTHENTICATED", "a token is needed: send the header 'authorization: Bearer <token>'");
    }
    // Of equal length and in constant time, so that nothing can be learnt from how long it takes.
    if (!timingSafeEqual(sha256(given), expected)) throw new DomainError("UNAUTHENTICATED", "the token is not valid");
  };
}

/**
 * Guards plain HTTP pages by the same token: answers 401 in JSON where it is missing or wrong. `exempt` paths pass; those
 * are `/health`, and RPC paths, whose handler checks and answers in its protocol's own way.
 */
export function requireToken(check: TokenCheck, exempt: (path: string) => boolean, handler: PortHandler): PortHandler {
  return (request, response) => {
    try {
      if (!exempt(pathOf(request))) check(request.headers.authorization);
    } catch (error) {
      const message = error instanceof Error ? error.message : "";
      const headers = { "www-authenticate": 'Bearer realm="model-manager"' };
      answerJson(request, response, { status: 401, body: { code: "unauthenticated", message }, headers });
      return;
    }
    handler(request, response);
  };
}

function sha256(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
