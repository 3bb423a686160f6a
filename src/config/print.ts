import type { Config } from "../config.ts";
import { formatBytes } from "../lib/bytes.ts";
import { formatDuration } from "../lib/duration.ts";
import { formatPortion } from "../lib/portion.ts";
import type { VariableName } from "./variables.ts";

const REDACTED = "(redacted)";

/** Variables that stand in for others, under whose names their values are printed. */
type OtherNames = "AWS_ENDPOINT_URL" | "AWS_DEFAULT_REGION";

/**
 * Prints a configuration in the form of a `.env` file, a line for each variable; secrets are redacted, what is not set
 * is a comment.
 */
export function printConfig(config: Config): string {
  const lines: Record<Exclude<VariableName, OtherNames>, string | undefined> = {
    MODEL_MANAGER_HOST: config.host,
    MODEL_MANAGER_PORT: String(config.port),
    MODEL_MANAGER_DATA: config.data,
    DATABASE_URL: redactUrl(config.databaseUrl),
    MODEL_MANAGER_DATABASE_DIRECT_URL: redactUrl(config.databaseDirectUrl),
    MODEL_MANAGER_STORE:
      "folder" in config.store ? config.store.folder : `s3://${config.store.bucket}/${config.store.prefix}`,
    MODEL_MANAGER_STORE_ENDPOINT: "folder" in config.store ? undefined : redactUrl(config.store.endpoint),
    MODEL_MANAGER_STORE_REGION: "folder" in config.store ? undefined : config.store.region,
    MODEL_MANAGER_LOCAL_ROOTS: config.localRoots.join(":"),
    MODEL_MANAGER_ALLOW_NETWORKS: config.allowNetworks.join(","),
    MODEL_MANAGER_ALLOWED_LICENSES: config.allowedLicenses?.join(","),
    MODEL_MANAGER_CREDENTIALS: config.credentials,
    MODEL_MANAGER_WORKER_LEASE: formatDuration(config.workerLeaseMs),
    MODEL_MANAGER_MAX_DOWNLOADS: String(config.maxDownloads),
    MODEL_MANAGER_MAX_CONNECTIONS: String(config.maxConnections),
    MODEL_MANAGER_MAX_HOST_CONNECTIONS: String(config.maxHostConnections),
    MODEL_MANAGER_RATE_LIMIT: config.rateLimit === undefined ? undefined : formatBytes(config.rateLimit),
    MODEL_MANAGER_HEADROOM: config.headroom && formatPortion(config.headroom),
    MODEL_MANAGER_QUOTA: config.quota === undefined ? undefined : formatBytes(config.quota),
    MODEL_MANAGER_SCRUB_RATE: config.scrubRate === undefined ? "off" : formatBytes(config.scrubRate),
    MODEL_MANAGER_TLS_CERT: config.tls?.cert,
    MODEL_MANAGER_TLS_KEY: config.tls?.key,
    MODEL_MANAGER_TLS_CLIENT_CA: config.tls?.clientCa,
    MODEL_MANAGER_TOKEN: redact(config.token),
    MODEL_MANAGER_SHUTDOWN_GRACE: formatDuration(config.shutdownGraceMs),
    MODEL_MANAGER_MAX_MESSAGE: formatBytes(config.maxMessageBytes),
    MODEL_MANAGER_SERVER: redactUrl(config.server),
    MODEL_MANAGER_SERVER_CA: config.serverTls.ca,
    MODEL_MANAGER_CLIENT_CERT: config.serverTls.cert,
    MODEL_MANAGER_CLIENT_KEY: config.serverTls.key,
    MODEL_MANAGER_LOG_LEVEL: config.log.level,
    MODEL_MANAGER_LOG_FORMAT: config.log.format,
    HF_ENDPOINT: redactUrl(config.huggingFace.endpoint),
    HF_TOKEN: redact(config.huggingFace.token),
    AWS_ENDPOINT_URL_S3: redactUrl(config.s3.endpoint),
    AWS_REGION: config.s3.region,
    HTTP_PROXY: redactUrl(config.proxies.http),
    HTTPS_PROXY: redactUrl(config.proxies.https),
    NO_PROXY: config.proxies.none,
  };
  return Object.entries(lines)
    .map(([name, value]) => (value ? `${name}=${value}\n` : `# ${name} is not set\n`))
    .join("");
}

function redact(secret: string | undefined): string | undefined {
  return secret === undefined ? undefined : REDACTED;
}

/** A URL without its password, wherever that stands; a name without one may be a token. */
function redactUrl(url: string | undefined): string | undefined {
  return url
    ?.replace(/^([a-z]+:\/\/)([^:@/?#]*):.*@/i, `$1$2:${REDACTED}@`)
    .replace(/^(https?:\/\/)[^:@/?#]+@/i, `$1${REDACTED}@`)
    .replace(/([?&](?:password|sslpassword|token)=)[^&]*/gi, `$1${REDACTED}`);
}
