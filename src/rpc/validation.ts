import { createRegistry, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import { pathToString } from "@bufbuild/protobuf/reflect";
import { createValidator, type Violation } from "@bufbuild/protovalidate";
import type { Interceptor } from "@connectrpc/connect";
import { file_modelmanager_v1_rules } from "../../gen/modelmanager/v1/rules_pb.ts";
import { DomainError, type FieldViolation } from "../domain/errors.ts";
import { oversizedLists } from "./list-limits.ts";

/** Checks a request against the rules in its .proto file; FIELD_INVALID with all fields that break one. */
export type RequestValidator = <Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>) => void;

/** Makes a validator that knows the contract's own rules beside the standard ones. */
export function createRequestValidator(): RequestValidator {
  const validator = createValidator({ registry: createRegistry(file_modelmanager_v1_rules) });
  return (schema, message) => {
    const oversized = oversizedLists(schema, message);
    if (oversized.length > 0) throw invalidRequest(oversized);
    const result = validator.validate(schema, message);
    if (result.kind === "invalid") throw invalidRequest(result.violations.map(fieldViolation));
    // The rules themselves are broken: a fault of the service.
    if (result.kind === "error") throw result.error;
  };
}

/** Validates every request message before a handler sees it, also those of a client's stream. */
export function createValidationInterceptor(validate: RequestValidator): Interceptor {
  return (next) => (request) => {
    if (request.stream)
      return next({ ...request, message: validated(request.message, request.method.input, validate) });
    validate(request.method.input, request.message);
    return next(request);
  };
}

async function* validated<Desc extends DescMessage>(
  messages: AsyncIterable<MessageShape<Desc>>,
  schema: Desc,
  validate: RequestValidator,
): AsyncGenerator<MessageShape<Desc>> {
  for await (const message of messages) {
    validate(schema, message);
    yield message;
  }
}

function invalidRequest(violations: readonly FieldViolation[]): DomainError {
  const [first] = violations;
  const what = first === undefined ? "the request breaks a rule" : `${first.field}: ${first.description}`;
  const more = violations.length > 1 ? ` (and ${violations.length - 1} more)` : "";
  return new DomainError("FIELD_INVALID", `${what}${more}`, { violations });
}

/** Rules of whole messages say which field they mean: `model.id: is required`. */
const MESSAGE_RULE = /^([a-z][\w.[\]]*): (.+)$/s;

function fieldViolation({ field, message }: Violation): FieldViolation {
  const path = pathToString(field);
  const [, inner, rule] = MESSAGE_RULE.exec(message) ?? [];
  if (inner !== undefined && rule !== undefined) {
    return { field: path === "" ? inner : `${path}.${inner}`, description: rule };
  }
  return { field: path, description: message.replace(/^value /, "") };
}
