import { create } from "@bufbuild/protobuf";
import { type ErrorReason, ErrorReasonSchema } from "../../../gen/modelmanager/v1/error_reason_pb.ts";
import { type Failure as FailureMessage, FailureSchema } from "../../../gen/modelmanager/v1/failure_pb.ts";
import { REASONS, type Reason } from "../../domain/errors.ts";
import type { Failure } from "../../domain/failure.ts";
import { enumCodec } from "./enums.ts";

const reasons = enumCodec<Reason, ErrorReason>(ErrorReasonSchema, REASONS);

/** The message of a kept failure. */
export function failureToMessage({ reason, message, metadata }: Failure): FailureMessage {
  return create(FailureSchema, { reason: reasons.toMessage(reason), message, metadata });
}
