import type { DescFile } from "@bufbuild/protobuf";
import { Code, type ConnectRouter } from "@connectrpc/connect";
import { file_google_rpc_error_details } from "../../gen/google/rpc/error_details_pb.ts";
import { ServerReflection as V1 } from "../../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as V1Alpha } from "../../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { createReflectionIndex, serializeWithDependencies } from "./reflection-index.ts";

/** What either version of the protocol asks: they differ in the names of their messages alone. */
type Query =
  | {
      case: "fileByFilename" | "fileContainingSymbol" | "allExtensionNumbersOfType" | "listServices";
      value: string;
    }
  | { case: "fileContainingExtension"; value: { containingType: string; extensionNumber: number } }
  | { case: undefined; value?: undefined };

/**
 * Serves `grpc.reflection.v1` and `v1alpha` for `services` (full names), and files with all their dependencies. The files of
 * `google.rpc` error details are known too, so that tools can print errors.
 */
export function addReflection(router: ConnectRouter, services: readonly string[], files: readonly DescFile[]): void {
  const names = [...new Set([...services, V1.typeName, V1Alpha.typeName])].sort();
  const index = createReflectionIndex([...files, V1.file, V1Alpha.file, file_google_rpc_error_details]);

  async function* serverReflectionInfo<Request extends { host: string; messageRequest: Query }>(
    requests: AsyncIterable<Request>,
  ) {
    for await (const request of requests) {
      yield { validHost: request.host, originalRequest: request, messageResponse: answer(request.messageRequest) };
    }
  }

  function answer(query: Query) {
    switch (query.case) {
      case "listServices":
        return { case: "listServicesResponse" as const, value: { service: names.map((name) => ({ name })) } };
      case "fileByFilename":
        return fileAnswer(index.byFilename(query.value), query.value);
      case "fileContainingSymbol":
        return fileAnswer(index.bySymbol(withoutDot(query.value)), query.value);
      case "fileContainingExtension": {
        const { containingType, extensionNumber } = query.value;
        const file = index.byExtension(withoutDot(containingType), extensionNumber);
        return fileAnswer(file, `extension ${extensionNumber} of ${containingType}`);
      }
      case "allExtensionNumbersOfType": {
        const baseTypeName = withoutDot(query.value);
        const extensionNumber = index.extensionNumbers(baseTypeName);
        if (extensionNumber === undefined) return notFound(query.value);
        return { case: "allExtensionNumbersResponse" as const, value: { baseTypeName, extensionNumber } };
      }
      default:
        return failure(Code.InvalidArgument, "the request asks for nothing");
    }
  }

  router.service(V1, { serverReflectionInfo });
  router.service(V1Alpha, { serverReflectionInfo });
}

function fileAnswer(file: DescFile | undefined, what: string) {
  if (file === undefined) return notFound(what);
  return {
    case: "fileDescriptorResponse" as const,
    value: { fileDescriptorProto: serializeWithDependencies(file) },
  };
}

/** The protocol has errors of its own, inside the stream. */
function failure(errorCode: Code, errorMessage: string) {
  return { case: "errorResponse" as const, value: { errorCode, errorMessage } };
}

function notFound(what: string) {
  return failure(Code.NotFound, `${what.slice(0, 200)} is not known here`);
}

function withoutDot(name: string): string {
  return name.startsWith(".") ? name.slice(1) : name;
}
