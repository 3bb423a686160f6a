import { Code, ConnectError } from "@connectrpc/connect";
import { type ErrorDetails, errorDetails, errorReason } from "../client/error-details.ts";
import { systemCode } from "../lib/system-error.ts";
import { CliError } from "./cli-error.ts";
import { EXIT, type ExitCode } from "./exit-codes.ts";
import { UNREACHABLE_HINT } from "./format/waiting.ts";

/** What to do next, by the reason that the service gave. */
const HINTS: Readonly<Record<string, string>> = {
  MODEL_NOT_FOUND: "see which models there are: npx model-manager ls",
  VERSION_NOT_FOUND: "see which models and versions there are: npx model-manager ls",
  ALIAS_NOT_FOUND: "see which models and aliases there are: npx model-manager ls",
  DOWNLOAD_NOT_FOUND: "see which downloads there are: npx model-manager downloads",
  WORKER_NOT_FOUND: "see which workers there are: npx model-manager workers",
  RESOURCE_IN_USE: "--force cancels its downloads and removes its assignments first",
  SOURCE_FORBIDDEN:
    "if the source wants a token, give it with --source-token; a gated repository wants its terms accepted first",
  ADDRESS_NOT_ALLOWED: "start the service with MODEL_MANAGER_ALLOW_NETWORKS naming that network, such as 127.0.0.0/8",
  PATH_NOT_ALLOWED: "start the service with MODEL_MANAGER_LOCAL_ROOTS naming a folder above it",
  UNAUTHENTICATED: "set MODEL_MANAGER_TOKEN to the token that the service was started with",
  DISK_FULL: "make room on the service's disk, then pull again: it goes on where it stopped",
  QUOTA_EXCEEDED: "delete or unpin versions, or raise MODEL_MANAGER_QUOTA, then pull again",
  SOURCE_NOT_FOUND: "the model stays registered, without a version: npx model-manager rm <model> takes it away",
  SOURCE_UNAVAILABLE: "pull again later: it goes on where it stopped",
};

/** Codes of errors that the network raises, or that a program on the way does. */
const NETWORK_CODES: ReadonlySet<Code> = new Set([
  Code.Unavailable,
  Code.DeadlineExceeded,
  Code.Canceled,
  Code.Aborted,
  Code.Internal,
  Code.Unknown,
]);

/** Says in a person's words why a call to the service at `server` failed; what is no error of a call comes back as it is. */
export function callError(error: unknown, server: string): unknown {
  const details = errorDetails(error);
  if (!(error instanceof ConnectError) || details === undefined) return error;
  if (isNetworkError(error)) return networkError(error, server, details);
  const message = details.violations.length > 1 ? violationLines(details) : details.message;
  return new CliError(exitCodeOf(error.code), message, { hint: hintOf(details), details });
}

function hintOf({ reason = "", metadata }: ErrorDetails): string | undefined {
  const unreachable = reason === "SOURCE_UNAVAILABLE" && metadata.http_status === undefined;
  return unreachable ? `${HINTS[reason]}; ${UNREACHABLE_HINT}` : HINTS[reason];
}

/** Whether the service is away, or something that it cannot do without, so that the same call may succeed later. */
export function isAway(error: unknown): boolean {
  return error instanceof ConnectError && (error.code === Code.Unavailable || isNetworkError(error));
}

/** Our own service gives a reason with these codes: without one nobody answered, something else did, or the answer broke off. */
function isNetworkError(error: ConnectError): boolean {
  return NETWORK_CODES.has(error.code) && errorReason(error) === undefined;
}

function networkError({ code, cause }: ConnectError, server: string, details: ErrorDetails): CliError {
  if (/SSL|TLS|CERT|SIGNATURE/.test(systemCode(cause) ?? "")) {
    return new CliError(EXIT.unreachable, `cannot speak TLS with the model manager at ${server}`, {
      hint:
        "without TLS its address begins with http://; an authority of your own is trusted with --ca, and a service that " +
        "wants a certificate of you gets it with --cert and --key",
      details,
    });
  }
  const lost = code !== Code.Unavailable && code !== Code.DeadlineExceeded;
  return new CliError(
    EXIT.unreachable,
    lost ? `lost the connection to the model manager at ${server}` : `cannot reach the model manager at ${server}`,
    {
      hint: "is it running? start it with: npm start; or say where it is with --server or MODEL_MANAGER_SERVER",
      details,
    },
  );
}

function violationLines({ violations }: ErrorDetails): string {
  return ["the request breaks rules", ...violations.map((v) => `  ${v.field}: ${v.description}`)].join("\n");
}

function exitCodeOf(code: Code): ExitCode {
  if (code === Code.NotFound) return EXIT.notFound;
  if (code === Code.InvalidArgument) return EXIT.usage;
  return EXIT.failure;
}
