import { join } from "node:path";
import { ConfigError, type ConfigProblem } from "./config/config-error.ts";
import { isLoopback } from "./config/loopback.ts";
import { isInjectedByKubernetes, isUnknown, nearNames } from "./config/unknown-names.ts";
import {
  type LogFormat,
  type LogLevel,
  VARIABLES,
  type VariableName,
  type VariableValues,
} from "./config/variables.ts";
import type { Portion } from "./lib/portion.ts";

export { ConfigError } from "./config/config-error.ts";
export { printConfig } from "./config/print.ts";

/** A store in a folder. */
export interface FolderStore {
  readonly folder: string;
}

/** A store in S3. Its credentials are those that AWS's own tools find in the environment. */
export interface BucketStore {
  readonly bucket: string;
  /** Empty, or ending with a slash. */
  readonly prefix: string;
  /** Absent for Amazon's servers. `MODEL_MANAGER_STORE_ENDPOINT`, default that of sources. */
  readonly endpoint?: string;
  /** `MODEL_MANAGER_STORE_REGION`, default that of sources. */
  readonly region: string;
  /** The folder where parts grow: `<data>/spool`. */
  readonly spool: string;
}

/** Everything that an operator can set, read and checked. Paths are absolute, durations milliseconds, sizes bytes. */
export interface Config {
  /** Where to listen: an address or a name of this machine. `MODEL_MANAGER_HOST`, default `127.0.0.1`. */
  readonly host: string;
  /** 0 takes a free one. `MODEL_MANAGER_PORT`, default 8085. */
  readonly port: number;
  /** The folder of the embedded database and the store. `MODEL_MANAGER_DATA`, default `./data`. */
  readonly data: string;
  /** An external PostgreSQL; absent for the embedded one. `DATABASE_URL`. */
  readonly databaseUrl?: string;
  /** The same server without a pooler in front of it. `MODEL_MANAGER_DATABASE_DIRECT_URL`, default `DATABASE_URL`. */
  readonly databaseDirectUrl?: string;
  /** Where the store is. `MODEL_MANAGER_STORE`, a folder or `s3://bucket/prefix`; default `<data>/store`. */
  readonly store: FolderStore | BucketStore;
  /** Folders that `local` sources may read. `MODEL_MANAGER_LOCAL_ROOTS`, separated by colons; default none. */
  readonly localRoots: readonly string[];
  /** Networks (CIDR) that sources may reach besides public ones. `MODEL_MANAGER_ALLOW_NETWORKS`, default none. */
  readonly allowNetworks: readonly string[];
  /**
   * Licenses that may be downloaded, in lower case as sources name them; `unknown` is that of a source that says none. Absent
   * for any. `MODEL_MANAGER_ALLOWED_LICENSES`, separated by commas.
   */
  readonly allowedLicenses?: readonly string[];
  /** A file of named credentials for sources. `MODEL_MANAGER_CREDENTIALS`. */
  readonly credentials?: string;
  /** How long a worker counts as alive after a heartbeat. `MODEL_MANAGER_WORKER_LEASE`, default 30 s. */
  readonly workerLeaseMs: number;
  /** Downloads of this process at a time. `MODEL_MANAGER_MAX_DOWNLOADS`, default 4. */
  readonly maxDownloads: number;
  /** Connections to sources of this process at a time. `MODEL_MANAGER_MAX_CONNECTIONS`, default 64. */
  readonly maxConnections: number;
  /** Of these, to one host. `MODEL_MANAGER_MAX_HOST_CONNECTIONS`, default 32. */
  readonly maxHostConnections: number;
  /** The most bytes a second that this process downloads; absent for no limit. `MODEL_MANAGER_RATE_LIMIT`. */
  readonly rateLimit?: number;
  /**
   * What downloads leave free of the store's disk. `MODEL_MANAGER_HEADROOM`, as `512MiB` or `3%`; absent for the larger of
   * 5 % and 1 GiB.
   */
  readonly headroom?: Portion;
  /** The most bytes that blobs may take before unused versions are evicted; absent for no limit. `MODEL_MANAGER_QUOTA`. */
  readonly quota?: number;
  /**
   * The most bytes a second that are read to check the store in the background; absent to check nothing.
   * `MODEL_MANAGER_SCRUB_RATE`, default 32 MiB; `off` or 0 for none.
   */
  readonly scrubRate?: number;
  /** PEM files; absent to listen in clear. `MODEL_MANAGER_TLS_CERT`, `_TLS_KEY`, `_TLS_CLIENT_CA`. */
  readonly tls?: { readonly cert: string; readonly key: string; readonly clientCa?: string };
  /** The bearer token that calls must carry; absent for none. `MODEL_MANAGER_TOKEN`. */
  readonly token?: string;
  /** Time for running calls when the service stops. `MODEL_MANAGER_SHUTDOWN_GRACE`, default 10 s. */
  readonly shutdownGraceMs: number;
  /** The largest request message. `MODEL_MANAGER_MAX_MESSAGE`, default 4 MiB. */
  readonly maxMessageBytes: number;
  /** Where the command line and workers find the service. `MODEL_MANAGER_SERVER`, default `http://127.0.0.1:8085`. */
  readonly server: string;
  /**
   * PEM files for reaching it: an authority to trust instead of the well-known ones, and an own certificate with its key.
   * `MODEL_MANAGER_SERVER_CA`, `MODEL_MANAGER_CLIENT_CERT`, `MODEL_MANAGER_CLIENT_KEY`.
   */
  readonly serverTls: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  /** `MODEL_MANAGER_LOG_LEVEL` (default info) and `_LOG_FORMAT` (default auto: pretty on a terminal, json elsewhere). */
  readonly log: { readonly level: LogLevel; readonly format: LogFormat };
  /** The hub and its token, as Hugging Face's own tools read them. `HF_ENDPOINT`, `HF_TOKEN`. */
  readonly huggingFace: { readonly endpoint: string; readonly token?: string };
  /**
   * The S3 server and the region of sources that name none, as AWS's own tools read them: `AWS_ENDPOINT_URL_S3`, else
   * `AWS_ENDPOINT_URL`, absent for Amazon's; `AWS_REGION`, else `AWS_DEFAULT_REGION`, default `us-east-1`.
   */
  readonly s3: { readonly endpoint?: string; readonly region: string };
  /** Through which proxies sources are reached, and which hosts without. `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`. */
  readonly proxies: { readonly http?: string; readonly https?: string; readonly none?: string };
}

/** A configuration and what the operator should know of it. */
export interface ReadConfig {
  readonly config: Config;
  /** Full sentences. */
  readonly warnings: readonly string[];
}

/** Other tools read these names in lower case too, and then prefer them. */
const PROXY_IN_LOWER_CASE = /^(?:https?|no)_proxy$/;

/**
 * Reads the configuration from environment variables. Empty values count as not set.
 *
 * @throws ConfigError with every problem at once: values that break their rule, unknown names with our prefix, and
 * values that do not go together.
 */
export function readConfig(environment: Readonly<Record<string, string | undefined>>): ReadConfig {
  const { given, warnings, problems } = sort(environment);
  const values: Record<string, unknown> = {};
  for (const [variable, rule] of Object.entries(VARIABLES)) {
    const result = rule.safeParse(given.get(variable));
    if (result.success) values[variable] = result.data;
    else problems.push({ variable, rule: result.error.issues.map((issue) => issue.message).join("; ") });
  }
  // Values that broke their own rule are missing here: rules between variables pass over them.
  problems.push(...conflicts(values as Partial<VariableValues>, given));
  if (problems.length > 0) throw new ConfigError(problems);
  return { config: assemble(values as VariableValues), warnings };
}

/** Puts aside what is empty, not ours or not the operator's. */
function sort(environment: Readonly<Record<string, string | undefined>>) {
  const known = Object.keys(VARIABLES);
  const given = new Map<string, string>();
  const warnings: string[] = [];
  const problems: ConfigProblem[] = [];
  for (const [name, text = ""] of Object.entries(environment)) {
    const value = text.trim();
    if (value === "") continue;
    if (isInjectedByKubernetes(name, value)) warnings.push(`${name} is ignored: Kubernetes sets it for a Service.`);
    else if (isUnknown(name, known)) problems.push({ variable: name, rule: unknownRule(nearNames(name, known)) });
    else if (PROXY_IN_LOWER_CASE.test(name)) given.set(name.toUpperCase(), value);
    else if (!given.has(name)) given.set(name, value);
  }
  return { given, warnings, problems };
}

function unknownRule(near: readonly string[]): string {
  if (near.length === 0) return "is not a variable of the model manager";
  return `is not a variable of the model manager; did you mean ${near.join(" or ")}?`;
}

/** What is wrong between values that are right by themselves. */
function conflicts(values: Partial<VariableValues>, given: ReadonlyMap<string, string>): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const needs = (variable: VariableName, other: VariableName) => {
    if (given.has(variable) && !given.has(other)) {
      problems.push({ variable: other, rule: `must be set too, since ${variable} is` });
    }
  };
  needs("MODEL_MANAGER_TLS_CERT", "MODEL_MANAGER_TLS_KEY");
  needs("MODEL_MANAGER_TLS_KEY", "MODEL_MANAGER_TLS_CERT");
  if (!given.has("MODEL_MANAGER_TLS_KEY")) needs("MODEL_MANAGER_TLS_CLIENT_CA", "MODEL_MANAGER_TLS_CERT");
  needs("MODEL_MANAGER_CLIENT_CERT", "MODEL_MANAGER_CLIENT_KEY");
  needs("MODEL_MANAGER_CLIENT_KEY", "MODEL_MANAGER_CLIENT_CERT");
  needs("MODEL_MANAGER_DATABASE_DIRECT_URL", "DATABASE_URL");
  const { MODEL_MANAGER_STORE: store } = values;
  for (const variable of ["MODEL_MANAGER_STORE_ENDPOINT", "MODEL_MANAGER_STORE_REGION"] as const) {
    if (given.has(variable) && (store === undefined ? !given.has("MODEL_MANAGER_STORE") : "folder" in store)) {
      problems.push({ variable, rule: "is for a store in S3: set MODEL_MANAGER_STORE to s3://bucket/prefix" });
    }
  }
  const host = values.MODEL_MANAGER_HOST;
  if (host !== undefined && !isLoopback(host) && !given.has("MODEL_MANAGER_TOKEN")) {
    const rule =
      `must be set, since MODEL_MANAGER_HOST is ${host}: whoever reaches that address could use the service. ` +
      "Set a token that calls must carry, or listen on 127.0.0.1 alone";
    problems.push({ variable: "MODEL_MANAGER_TOKEN", rule });
  }
  return problems;
}

function assemble(values: VariableValues): Config {
  const cert = values.MODEL_MANAGER_TLS_CERT;
  const key = values.MODEL_MANAGER_TLS_KEY;
  return Object.freeze({
    host: values.MODEL_MANAGER_HOST,
    port: values.MODEL_MANAGER_PORT,
    data: values.MODEL_MANAGER_DATA,
    databaseUrl: values.DATABASE_URL,
    databaseDirectUrl: values.MODEL_MANAGER_DATABASE_DIRECT_URL ?? values.DATABASE_URL,
    store: Object.freeze(storeOf(values)),
    localRoots: Object.freeze(values.MODEL_MANAGER_LOCAL_ROOTS),
    allowNetworks: Object.freeze(values.MODEL_MANAGER_ALLOW_NETWORKS),
    credentials: values.MODEL_MANAGER_CREDENTIALS,
    workerLeaseMs: values.MODEL_MANAGER_WORKER_LEASE,
    maxDownloads: values.MODEL_MANAGER_MAX_DOWNLOADS,
    maxConnections: values.MODEL_MANAGER_MAX_CONNECTIONS,
    maxHostConnections: values.MODEL_MANAGER_MAX_HOST_CONNECTIONS,
    rateLimit: values.MODEL_MANAGER_RATE_LIMIT,
    headroom: values.MODEL_MANAGER_HEADROOM,
    quota: values.MODEL_MANAGER_QUOTA,
    allowedLicenses: values.MODEL_MANAGER_ALLOWED_LICENSES && Object.freeze(values.MODEL_MANAGER_ALLOWED_LICENSES),
    scrubRate: values.MODEL_MANAGER_SCRUB_RATE === 0 ? undefined : values.MODEL_MANAGER_SCRUB_RATE,
    tls: cert && key ? Object.freeze({ cert, key, clientCa: values.MODEL_MANAGER_TLS_CLIENT_CA }) : undefined,
    token: values.MODEL_MANAGER_TOKEN,
    shutdownGraceMs: values.MODEL_MANAGER_SHUTDOWN_GRACE,
    maxMessageBytes: values.MODEL_MANAGER_MAX_MESSAGE,
    server: values.MODEL_MANAGER_SERVER,
    serverTls: Object.freeze({
      ca: values.MODEL_MANAGER_SERVER_CA,
      cert: values.MODEL_MANAGER_CLIENT_CERT,
      key: values.MODEL_MANAGER_CLIENT_KEY,
    }),
    log: Object.freeze({ level: values.MODEL_MANAGER_LOG_LEVEL, format: values.MODEL_MANAGER_LOG_FORMAT }),
    huggingFace: Object.freeze({ endpoint: values.HF_ENDPOINT, token: values.HF_TOKEN }),
    s3: Object.freeze(s3Of(values)),
    proxies: Object.freeze({ http: values.HTTP_PROXY, https: values.HTTPS_PROXY, none: values.NO_PROXY }),
  });
}

function storeOf(values: VariableValues): Config["store"] {
  const { MODEL_MANAGER_DATA: data, MODEL_MANAGER_STORE: store = { folder: join(data, "store") } } = values;
  if ("folder" in store) return store;
  const { endpoint, region } = s3Of(values);
  return {
    ...store,
    endpoint: values.MODEL_MANAGER_STORE_ENDPOINT ?? endpoint,
    region: values.MODEL_MANAGER_STORE_REGION ?? region,
    spool: join(data, "spool"),
  };
}

function s3Of(values: VariableValues): Config["s3"] {
  return {
    endpoint: values.AWS_ENDPOINT_URL_S3 ?? values.AWS_ENDPOINT_URL,
    region: values.AWS_REGION ?? values.AWS_DEFAULT_REGION ?? "us-east-1",
  };
}
