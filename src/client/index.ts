/**
 * What programs that talk to the model manager import: typed clients for Connect and for grpc-js, the generated messages
 * and services, and what errors carry.
 */
export * from "../../gen/grpc/health/v1/health_pb.ts";
export * from "../../gen/modelmanager/v1/alias_pb.ts";
export * from "../../gen/modelmanager/v1/assignment_pb.ts";
export * from "../../gen/modelmanager/v1/deployment_pb.ts";
export * from "../../gen/modelmanager/v1/download_pb.ts";
export * from "../../gen/modelmanager/v1/error_reason_pb.ts";
export * from "../../gen/modelmanager/v1/event_pb.ts";
export * from "../../gen/modelmanager/v1/failure_pb.ts";
export * from "../../gen/modelmanager/v1/model_pb.ts";
export * from "../../gen/modelmanager/v1/model_service_pb.ts";
export * from "../../gen/modelmanager/v1/placement_pb.ts";
export * from "../../gen/modelmanager/v1/source_pb.ts";
export * from "../../gen/modelmanager/v1/storage_pb.ts";
export * from "../../gen/modelmanager/v1/version_pb.ts";
export * from "../../gen/modelmanager/v1/worker_pb.ts";
export * from "../../gen/modelmanager/v1/worker_service_pb.ts";
export {
  createModelManagerClient,
  type ModelManagerClient,
  type ModelManagerClientOptions,
  type Protocol,
} from "./connect.ts";
export { type ErrorDetails, errorDetails, errorReason } from "./error-details.ts";
export { createGrpcJsClient, type GrpcJsClient } from "./grpc-js.ts";
