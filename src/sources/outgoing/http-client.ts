import { isIP } from "node:net";
import { Agent, type Dispatcher, EnvHttpProxyAgent, request } from "undici";
import { isDomainError } from "../../domain/errors.ts";
import type { Headers } from "../../lib/http/validator.ts";
import { type AddressPolicy, addressNotAllowed } from "./address-policy.ts";
import { authorizationHeader, type Proof } from "./authorization.ts";
import { bareHost, createConnector, type Lookup } from "./connector.ts";
import { networkFailure } from "./failures.ts";
import { type Hop, nextHop } from "./hop.ts";
import { shownUrl } from "./url.ts";

/** The proxies of the environment: `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`. */
export interface Proxies {
  readonly http?: string;
  readonly https?: string;
  readonly none?: string;
}

/** How long a source may take, in milliseconds. */
export interface SourceTimeouts {
  /** To accept a connection. Default 10 s. */
  readonly connectMs: number;
  /** To begin an answer. Default 30 s. */
  readonly headersMs: number;
  /** Between two pieces of an answer. Default 30 s. */
  readonly stallMs: number;
}

export interface HttpClientOptions {
  readonly policy: AddressPolicy;
  readonly lookup: Lookup;
  readonly proxies: Proxies;
  readonly timeouts: SourceTimeouts;
  readonly userAgent: string;
}

export interface OutgoingRequest {
  readonly url: URL;
  readonly method?: "GET" | "HEAD";
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent to the origin of `url` alone; a text is a bearer token. */
  readonly token?: Proof;
  /** What is asked for, as messages name it; default the URL without its query. */
  readonly subject?: string;
  /** Default true; else a redirect is an answer like others. */
  readonly followRedirects?: boolean;
  readonly signal: AbortSignal;
}

/** An answer of any status but a redirect. Its body must be read, dumped or destroyed; the request's signal destroys it too. */
export interface HttpAnswer {
  readonly status: number;
  /** Of one that came several times, the first. */
  readonly headers: Headers;
  readonly body: Dispatcher.ResponseData["body"];
}

/** Speaks HTTP to sources within the outgoing policy. */
export interface HttpClient {
  /**
   * Sends a request and follows redirects. SourceUnavailable for what the network does; ADDRESS_NOT_ALLOWED for an address
   * that the policy forbids, at any hop; SOURCE_UNAVAILABLE without hope for redirects that lead nowhere.
   */
  send(request: OutgoingRequest): Promise<HttpAnswer>;
  /** The addresses of a URL's host that may be connected to, at least one; the errors are those of {@link HttpClient.send}. */
  addressesOf(url: URL, subject: string, signal: AbortSignal): Promise<readonly string[]>;
  /** Whether a proxy is asked to connect. */
  readonly proxied: boolean;
  readonly userAgent: string;
  /** Breaks off every connection. */
  close(): Promise<void>;
}

const REDIRECTS = new Set([301, 302, 303, 307, 308]);
/** A body that nobody wants is read up to here, so that its connection can be used again. */
const DUMP_LIMIT = 16 << 10;

/**
 * Creates a client over undici.
 *
 * Behind a proxy it is the proxy that resolves and connects. What can be checked from here is checked: literal addresses, and
 * names that resolve here, before the request. A name that only the proxy can resolve passes, and a name that changes its
 * address in between too: the proxy's own rules must cover those. The proxy itself is the operator's and is not checked.
 */
export function createHttpClient(options: HttpClientOptions): HttpClient {
  const { policy, lookup, proxies, timeouts, userAgent } = options;
  const proxied = Boolean(proxies.http || proxies.https);
  const dispatcher = createDispatcher(options, proxied);

  /** What can be checked before a proxy is asked; without one, the connector checks what it connects to. */
  async function assertAllowed({ hostname }: URL, subject: string): Promise<void> {
    const host = bareHost(hostname);
    const addresses = isIP(host) === 0 ? await lookup(host, {}).catch(() => []) : [{ address: host }];
    if (!addresses.every(({ address }) => policy.permits(address))) throw addressNotAllowed(host, subject);
  }

  return {
    async send({
      url: first,
      method = "GET",
      headers,
      token,
      subject = shownUrl(first),
      followRedirects = true,
      signal,
    }) {
      let hop: Hop = { url: first, token, subject, seen: [] };
      for (;;) {
        const { url, token } = hop;
        signal.throwIfAborted();
        if (proxied) await assertAllowed(url, subject);
        const answer = await request(url, {
          dispatcher,
          method,
          headers: {
            ...headers,
            "accept-encoding": "identity",
            "user-agent": userAgent,
            ...authorizationHeader(token),
          },
          headersTimeout: timeouts.headersMs,
          bodyTimeout: timeouts.stallMs,
          signal,
        }).catch((error: unknown) => {
          signal.throwIfAborted();
          throw isDomainError(error, "ADDRESS_NOT_ALLOWED")
            ? addressNotAllowed(bareHost(url.hostname), subject)
            : networkFailure(error, subject);
        });
        const answerHeaders = firstOfEach(answer.headers);
        const { location } = answerHeaders;
        if (!followRedirects || !REDIRECTS.has(answer.statusCode) || location === undefined) {
          return { status: answer.statusCode, headers: answerHeaders, body: answer.body };
        }
        discard(answer.body);
        hop = nextHop(hop, location);
      }
    },
    async addressesOf({ hostname }, subject, signal) {
      const host = bareHost(hostname);
      const found = isIP(host) === 0 ? await lookup(host, {}).catch((error) => error) : [{ address: host }];
      signal.throwIfAborted();
      if (!Array.isArray(found)) throw networkFailure(found, subject);
      const permitted = found.map(({ address }) => address).filter((address) => policy.permits(address));
      if (permitted.length === 0) throw addressNotAllowed(host, subject);
      return permitted;
    },
    proxied,
    userAgent,
    close: () => dispatcher.destroy(),
  };
}

/** Lets go of a body that nobody wants. */
export function discard(body: HttpAnswer["body"]): void {
  body.dump({ limit: DUMP_LIMIT }).catch(() => {});
}

function firstOfEach(headers: Record<string, string | string[] | undefined>): Headers {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, Array.isArray(value) ? value[0] : value]),
  );
}

function createDispatcher({ policy, lookup, proxies, timeouts }: HttpClientOptions, proxied: boolean): Dispatcher {
  const connect = createConnector(policy, lookup, timeouts.connectMs);
  if (!proxied) return new Agent({ connect, allowH2: false });
  return new EnvHttpProxyAgent({
    connect,
    allowH2: false,
    connectTimeout: timeouts.connectMs,
    proxyTls: { allowH2: false },
    requestTls: { allowH2: false },
    // Empty, not absent: undici would read the environment on its own, past the configuration.
    httpProxy: proxies.http ?? "",
    httpsProxy: proxies.https ?? "",
    noProxy: proxies.none ?? "",
  });
}
