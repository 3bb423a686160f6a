import { SourceUnavailable } from "../../domain/ports/sources.ts";
import { Semaphore } from "../../lib/semaphore.ts";
import type { Proof } from "../outgoing/authorization.ts";
import type { HttpAnswer, HttpClient } from "../outgoing/http-client.ts";
import { type Challenge, parseChallenge } from "./challenge.ts";
import type { OciReference } from "./reference.ts";
import { askForToken, mayGoTo, type RegistryCredential, realmOf, userOf } from "./token-service.ts";

/** A refusal that another token may lift. */
export class TokenRefused extends SourceUnavailable {}

/** What requests to a registry carry, and where that comes from. */
export interface RegistrySession {
  /** What the next request is to carry; asked for anew if the last was refused or is about to expire. */
  proof(signal: AbortSignal): Promise<Proof | undefined>;
  /** Notes that a request was not refused which carried `proof`. */
  accepted(proof: Proof | undefined): void;
  /** Notes that a request was refused which carried `proof`; undefined if asking again is no use. */
  refused(proof: Proof | undefined, answer: Pick<HttpAnswer, "status" | "headers">): TokenRefused | undefined;
  /** What to do about a refusal, for its message; empty if nothing is known. */
  readonly hint: string;
}

interface Held {
  readonly proof: Proof | undefined;
  /** When it came, by the monotonic clock; absent for what is not renewed. */
  readonly since?: number;
  readonly until?: number;
  /** Whether it was seen to be good for something: then it is its age because of which it is refused. */
  accepted?: boolean;
}

/** A token is renewed so long before its end. */
const MARGIN_MS = 5_000;
/** One that is refused so soon after it was given out, without having been good for anything, has not expired. */
const FRESH_MS = 2_000;

/**
 * Begins to talk to a registry, at first without any proof: the first refusal tells what it wants. Credentials go to the
 * registry's own host, and to another host's token service only if the operator lists that host with them.
 */
export function createSession(
  client: HttpClient,
  reference: OciReference,
  credential: RegistryCredential | undefined,
): RegistrySession {
  let challenge: Challenge | undefined;
  let held: Held = { proof: undefined };
  let isRefused = false;
  /** The token service that gets no credentials. */
  let kept: string | undefined;
  const turns = new Semaphore(1);

  const isUsable = () => !isRefused && (held.until === undefined || performance.now() < held.until);

  function hint(): string {
    if (credential === undefined) return "; if it is private, give a credential";
    if (kept === undefined) return "";
    return `; the credential was kept from the token service at '${kept}': only a named one that lists this host goes there`;
  }

  async function renew(signal: AbortSignal): Promise<Held> {
    if (challenge?.scheme === "bearer" && challenge.realm !== undefined) {
      const { realm } = challenge;
      const url = realmOf(reference, realm);
      const goes = credential !== undefined && mayGoTo(credential, url, reference);
      kept = credential !== undefined && !goes ? url.host : undefined;
      const proof = goes ? userOf(credential) : undefined;
      const asking = { proof, hint: hint(), signal };
      const { token, lifetimeMs } = await askForToken(client, reference, { ...challenge, realm }, asking);
      const since = performance.now();
      return { proof: token, since, until: since + Math.max(lifetimeMs - MARGIN_MS, lifetimeMs / 2) };
    }
    if (credential === undefined) return { proof: undefined };
    return { proof: challenge?.scheme === "bearer" ? credential.token : userOf(credential) };
  }

  return {
    async proof(signal) {
      const release = isUsable() ? undefined : await turns.acquire(signal);
      try {
        if (!isUsable()) {
          held = await renew(signal);
          isRefused = false;
        }
      } finally {
        release?.();
      }
      return held.proof;
    },
    accepted(proof) {
      if (proof === held.proof) held.accepted = true;
    },
    refused(proof, { status, headers }) {
      if (status !== 401) return undefined;
      // Somebody else has got another one meanwhile.
      const isOld = proof !== held.proof;
      const asked = parseChallenge(headers["www-authenticate"]);
      if (!isOld) {
        const isStatic = proof !== undefined && held.since === undefined;
        const isFresh = held.since !== undefined && !held.accepted && performance.now() - held.since < FRESH_MS;
        const isHopeless = asked === undefined || isStatic || isFresh;
        const canAnswer = asked?.realm !== undefined || credential !== undefined;
        if (isHopeless || !canAnswer) return undefined;
        challenge = asked;
        isRefused = true;
      }
      return new TokenRefused(`the registry ${reference.host} asks for another token (401)`);
    },
    get hint() {
      return hint();
    },
  };
}
