import { isIP } from "node:net";
import { resolve } from "node:path";
import ipaddr from "ipaddr.js";
import { z } from "zod";
import { parseBytes } from "../lib/bytes.ts";
import { parseDuration } from "../lib/duration.ts";
import { parsePortion } from "../lib/portion.ts";
import { parseS3Uri } from "../lib/s3-uri.ts";
import { DEFAULT_SERVER } from "./default-server.ts";

/** Levels of the log, from the quietest on. */
const LOG_LEVELS = ["error", "warn", "info", "debug"] as const;
/** How much is logged. */
export type LogLevel = (typeof LOG_LEVELS)[number];

/** `auto` is `pretty` on a terminal and `json` elsewhere. */
const LOG_FORMATS = ["auto", "pretty", "json"] as const;
/** How log lines look. */
export type LogFormat = (typeof LOG_FORMATS)[number];

/** Where the public Hugging Face hub is. */
const PUBLIC_HUB = "https://huggingface.co";

/** Reads a text with a parser that throws the rule. */
function parsed<Value>(parse: (text: string) => Value): z.ZodType<Value, string> {
  return z.string().transform((text, context) => {
    try {
      return parse(text);
    } catch (error) {
      context.addIssue({ code: "custom", message: error instanceof Error ? error.message : String(error) });
      return z.NEVER;
    }
  });
}

/** Reads a number that must be from `least` to `most`, which `words` says. */
function within(
  parse: (text: string) => number,
  least: number,
  most: number,
  words: string,
): z.ZodType<number, string> {
  return parsed((text) => {
    const value = parse(text);
    if (!(value >= least && value <= most)) throw new Error(`must be ${words}`);
    return value;
  });
}

function wholeNumber(least: number, most: number): z.ZodType<number, string> {
  const parse = (text: string) => (/^\d{1,9}$/.test(text) ? Number(text) : Number.NaN);
  return within(parse, least, most, `a whole number from ${least} to ${most}`);
}

function oneOf<const Values extends readonly [string, ...string[]]>(values: Values): z.ZodType<Values[number], string> {
  return z
    .string()
    .toLowerCase()
    .pipe(z.enum(values, { error: `must be one of ${values.join(", ")}` })) as z.ZodType<Values[number], string>;
}

const path = parsed((text) => resolve(text));

const host = parsed((text) => {
  const name = text.replace(/^\[(.*)\]$/, "$1");
  if (isIP(name) > 0 || /^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$/.test(name)) return name;
  throw new Error("must be an address or a host name, without a port");
});

const httpUrl = parsed((text) => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new Error("must be an http or https URL, such as http://127.0.0.1:8085");
  }
  return text.replace(/\/+$/, "");
});

const postgresUrl = parsed((text) => {
  if (/^postgres(ql)?:\/\/\S+$/i.test(text)) return text;
  throw new Error("must be a URL such as postgres://user:password@host:5432/database");
});

/** A folder, or a bucket with what its keys begin with: that ends with a slash, or is empty. */
const store = parsed((text): { readonly folder: string } | { readonly bucket: string; readonly prefix: string } => {
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return { folder: resolve(text) };
  const place = parseS3Uri(text);
  if (place === undefined) throw new Error("must be a folder, or s3://bucket/prefix");
  const prefix = place.key.replace(/\/+$/, "");
  return { bucket: place.bucket, prefix: prefix === "" ? "" : `${prefix}/` };
});

const region = z.string().regex(/^[A-Za-z0-9-]{1,64}$/, "must be the name of a region, such as eu-central-1");

const folders = parsed((text) =>
  text
    .split(":")
    .filter((folder) => folder !== "")
    .map((folder) => resolve(folder)),
);

const networks = parsed((text) =>
  text
    .split(/[\s,]+/)
    .filter((network) => network !== "")
    .map((network) => {
      try {
        if (network.includes("/")) {
          const [address, bits] = ipaddr.parseCIDR(network);
          return `${address.toString()}/${bits}`;
        }
        const address = ipaddr.parse(network);
        return `${address.toString()}/${address.kind() === "ipv4" ? 32 : 128}`;
      } catch {
        throw new Error(`must be networks such as 127.0.0.0/8 or fd00::/8, separated by commas; '${network}' is none`);
      }
    }),
);

const licenses = parsed((text) => {
  const names = text
    .toLowerCase()
    .split(/[\s,]+/)
    .filter((name) => name !== "");
  if (names.length > 0 && names.every((name) => /^[a-z0-9][a-z0-9.+_-]*$/.test(name))) return names;
  throw new Error("must be licenses such as apache-2.0 or mit, or unknown, separated by commas");
});

/** What can travel in an HTTP header; the secret itself is not said. */
const secret = z.string().regex(/^[\x21-\x7e]{1,8192}$/, "must be 1 to 8192 visible ASCII characters without spaces");

/** Reads a size, or a word for none. */
const parseScrubRate = (text: string) => (text.trim().toLowerCase() === "off" ? 0 : parseBytes(text));

const HOUR = 3_600_000;
const GIB = 1024 ** 3;

/**
 * Every variable that is read, with its rule and its default. Empty values count as not set. Relative paths are taken
 * from the working folder.
 */
export const VARIABLES = {
  MODEL_MANAGER_HOST: host.prefault("127.0.0.1"),
  MODEL_MANAGER_PORT: wholeNumber(0, 65_535).prefault("8085"),
  MODEL_MANAGER_DATA: path.prefault("./data"),
  DATABASE_URL: postgresUrl.optional(),
  MODEL_MANAGER_DATABASE_DIRECT_URL: postgresUrl.optional(),
  MODEL_MANAGER_STORE: store.optional(),
  MODEL_MANAGER_STORE_ENDPOINT: httpUrl.optional(),
  MODEL_MANAGER_STORE_REGION: region.optional(),
  MODEL_MANAGER_LOCAL_ROOTS: folders.prefault(""),
  MODEL_MANAGER_ALLOW_NETWORKS: networks.prefault(""),
  MODEL_MANAGER_ALLOWED_LICENSES: licenses.optional(),
  MODEL_MANAGER_CREDENTIALS: path.optional(),
  MODEL_MANAGER_WORKER_LEASE: within(parseDuration, 100, HOUR, "from 100ms to 1h").prefault("30s"),
  MODEL_MANAGER_MAX_DOWNLOADS: wholeNumber(1, 1_000).prefault("4"),
  MODEL_MANAGER_MAX_CONNECTIONS: wholeNumber(1, 10_000).prefault("64"),
  MODEL_MANAGER_MAX_HOST_CONNECTIONS: wholeNumber(1, 10_000).prefault("32"),
  MODEL_MANAGER_RATE_LIMIT: within(parseBytes, 1024, 2 ** 50, "from 1KiB to 1PiB (a second)").optional(),
  MODEL_MANAGER_HEADROOM: parsed(parsePortion).optional(),
  MODEL_MANAGER_QUOTA: within(parseBytes, 1, 2 ** 53 - 1, "at least 1 byte").optional(),
  MODEL_MANAGER_SCRUB_RATE: within(parseScrubRate, 0, 2 ** 50, "off, or up to 1PiB (a second)").prefault("32MiB"),
  MODEL_MANAGER_TLS_CERT: path.optional(),
  MODEL_MANAGER_TLS_KEY: path.optional(),
  MODEL_MANAGER_TLS_CLIENT_CA: path.optional(),
  MODEL_MANAGER_TOKEN: secret.optional(),
  MODEL_MANAGER_SHUTDOWN_GRACE: within(parseDuration, 0, HOUR, "from 0s to 1h").prefault("10s"),
  MODEL_MANAGER_MAX_MESSAGE: within(parseBytes, 1024, GIB, "from 1KiB to 1GiB").prefault("4MiB"),
  MODEL_MANAGER_SERVER: httpUrl.prefault(DEFAULT_SERVER),
  MODEL_MANAGER_SERVER_CA: path.optional(),
  MODEL_MANAGER_CLIENT_CERT: path.optional(),
  MODEL_MANAGER_CLIENT_KEY: path.optional(),
  MODEL_MANAGER_LOG_LEVEL: oneOf(LOG_LEVELS).prefault("info"),
  MODEL_MANAGER_LOG_FORMAT: oneOf(LOG_FORMATS).prefault("auto"),
  HF_ENDPOINT: httpUrl.prefault(PUBLIC_HUB),
  HF_TOKEN: secret.optional(),
  AWS_ENDPOINT_URL: httpUrl.optional(),
  AWS_ENDPOINT_URL_S3: httpUrl.optional(),
  AWS_REGION: region.optional(),
  AWS_DEFAULT_REGION: region.optional(),
  HTTP_PROXY: httpUrl.optional(),
  HTTPS_PROXY: httpUrl.optional(),
  NO_PROXY: z.string().optional(),
} as const;

/** The name of a variable that is read. */
export type VariableName = keyof typeof VARIABLES;

/** The values of all variables, each after its rule. */
export type VariableValues = { readonly [Name in VariableName]: z.output<(typeof VARIABLES)[Name]> };
