import { fromBinary } from "@bufbuild/protobuf";
import { type Any, anyUnpack } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  type BadRequest,
  BadRequestSchema,
  type ErrorInfo,
  ErrorInfoSchema,
} from "../../gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../gen/google/rpc/status_pb.ts";

/** What an error of a call says, whichever client raised it. */
export interface ErrorDetails {
  /** The canonical status code, such as `NOT_FOUND`. */
  readonly code: string;
  /** For people: what broke which rule. */
  readonly message: string;
  /** For programs: the name of an `ErrorReason` without its prefix, such as `MODEL_NOT_FOUND`; absent if the service did not say. */
  readonly reason?: string;
  /** Small facts that belong to the reason. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The fields of the request that break a rule. */
  readonly violations: readonly { readonly field: string; readonly description: string }[];
}

/** The domain of the service's own reasons. */
const DOMAIN = "modelmanager.v1";

/**
 * Reads the `ErrorInfo` and `BadRequest` that an error carries: a `ConnectError`, or a `ServiceError` of grpc-js.
 * Undefined for what is no error of a call.
 */
export function errorDetails(error: unknown): ErrorDetails | undefined {
  if (error instanceof ConnectError) {
    const infos = error.findDetails(ErrorInfoSchema);
    return assemble(error.code, error.rawMessage, infos, error.findDetails(BadRequestSchema));
  }
  if (!isServiceError(error)) return undefined;
  const details = statusDetails(error.metadata.get("grpc-status-details-bin")[0]);
  const infos = details.map((any) => anyUnpack(any, ErrorInfoSchema)).filter((info) => info !== undefined);
  const badRequests = details.map((any) => anyUnpack(any, BadRequestSchema)).filter((bad) => bad !== undefined);
  return assemble(error.code, error.details, infos, badRequests);
}

/** The reason that an error of a call carries, such as `MODEL_NOT_FOUND`; undefined if it carries none. */
export function errorReason(error: unknown): string | undefined {
  return errorDetails(error)?.reason;
}

function assemble(
  code: number,
  message: string,
  infos: readonly ErrorInfo[],
  bad: readonly BadRequest[],
): ErrorDetails {
  const info = infos.find(({ domain }) => domain === DOMAIN);
  return {
    code: codeName(code),
    message,
    reason: info?.reason,
    metadata: info?.metadata ?? {},
    violations: bad
      .flatMap((request) => request.fieldViolations)
      .map(({ field, description }) => ({ field, description })),
  };
}

/** `NotFound` as `NOT_FOUND`, the way the contract writes codes. Connect spells one of them with a single L. */
function codeName(code: number): string {
  const name = Code[code] ?? "Unknown";
  return name === "Canceled" ? "CANCELLED" : name.replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase();
}

/** What is read of grpc-js's `ServiceError`, told by its shape: there may be several copies of that package. */
interface ServiceErrorShape {
  readonly code: number;
  readonly details: string;
  readonly metadata: { get(key: string): readonly (string | Buffer)[] };
}

function isServiceError(error: unknown): error is ServiceErrorShape {
  return (
    error instanceof Error &&
    "code" in error &&
    typeof error.code === "number" &&
    "details" in error &&
    typeof error.details === "string" &&
    "metadata" in error &&
    typeof error.metadata === "object" &&
    error.metadata !== null &&
    "get" in error.metadata
  );
}

/** The details of a `google.rpc.Status` in its binary form; none if a proxy mangled it. */
function statusDetails(bytes: string | Buffer | undefined): Any[] {
  if (!(bytes instanceof Uint8Array)) return [];
  try {
    return fromBinary(StatusSchema, bytes).details;
  } catch {
    return [];
  }
}
