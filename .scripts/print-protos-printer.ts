import type { DescMessage, MessageShape, Registry } from "@bufbuild/protobuf";
import { protoCamelCase } from "@bufbuild/protobuf/reflect";
import { toText } from "@bufbuild/protobuf/txtpb";
import {
  type DescriptorProto,
  type EnumDescriptorProto,
  EnumOptionsSchema,
  EnumValueOptionsSchema,
  ExtensionRangeOptionsSchema,
  type FieldDescriptorProto,
  FieldDescriptorProto_Label as FieldLabel,
  FieldOptionsSchema,
  FieldDescriptorProto_Type as FieldType,
  type FileDescriptorProto,
  FileOptionsSchema,
  MessageOptionsSchema,
  type MethodDescriptorProto,
  MethodOptionsSchema,
  OneofOptionsSchema,
  type ServiceDescriptorProto,
  ServiceOptionsSchema,
} from "@bufbuild/protobuf/wkt";

/** The highest numbers, which .proto text calls `max`. */
const MAX_FIELD_NUMBER = 536_870_911;
const MAX_ENUM_NUMBER = 2_147_483_647;

/** What the parts of one file share while they are printed. */
interface Scope {
  syntax: string;
  packageName: string;
  registry: Registry;
}

/**
 * Prints a descriptor as .proto text that compiles to an equal one, but for the order of nested types.
 *
 * Layout is left to `buf format`: the text is correct but not indented.
 *
 * @param registry knows the extensions that the file's options may carry.
 * @throws Error for what only editions and groups need, and for options that the registry does not know.
 */
export function printProtoFile(file: FileDescriptorProto, registry: Registry): string {
  const syntax = file.syntax === "" ? "proto2" : file.syntax;
  if (syntax !== "proto2" && syntax !== "proto3") throw new Error(`${file.name}: syntax ${syntax} is not supported`);
  const scope: Scope = { syntax, packageName: file.package, registry };
  const sections = [
    [`syntax = "${syntax}";`],
    file.package === "" ? [] : [`package ${file.package};`],
    file.dependency.map((path, i) => `import ${file.publicDependency.includes(i) ? "public " : ""}${quote(path)};`),
    optionStatements(FileOptionsSchema, file.options, scope),
    ...file.service.map((service) => printService(service, scope)),
    printExtensions(file.extension, [], scope),
    ...file.messageType.map((message) => printMessage(message, scope)),
    ...file.enumType.map((enumeration) => printEnum(enumeration, scope)),
  ];
  return `${sections
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join("\n"))
    .join("\n\n")}\n`;
}

function printService(service: ServiceDescriptorProto, scope: Scope): string[] {
  return block(`service ${service.name}`, [
    ...optionStatements(ServiceOptionsSchema, service.options, scope),
    ...service.method.flatMap((method) => printMethod(method, scope)),
  ]);
}

function printMethod(method: MethodDescriptorProto, scope: Scope): string[] {
  const input = `${method.clientStreaming ? "stream " : ""}${typeReference(method.inputType, scope)}`;
  const output = `${method.serverStreaming ? "stream " : ""}${typeReference(method.outputType, scope)}`;
  const signature = `rpc ${method.name}(${input}) returns (${output})`;
  const options = optionStatements(MethodOptionsSchema, method.options, scope);
  return options.length === 0 ? [`${signature};`] : block(signature, options);
}

function printMessage(message: DescriptorProto, scope: Scope): string[] {
  const nested = message.nestedType.filter((type) => !type.options?.mapEntry);
  return block(`message ${message.name}`, [
    ...optionStatements(MessageOptionsSchema, message.options, scope),
    ...printReserved(
      message.reservedRange.map(({ start, end }) => printRange(start, end - 1, MAX_FIELD_NUMBER)),
      message.reservedName,
    ),
    ...nested.flatMap((type) => printMessage(type, scope)),
    ...message.enumType.flatMap((enumeration) => printEnum(enumeration, scope)),
    ...printFields(message, scope),
    ...message.extensionRange.map(({ start, end, options }) => {
      const suffix = bracketed(optionAssignments(ExtensionRangeOptionsSchema, options, scope));
      return `extensions ${printRange(start, end - 1, MAX_FIELD_NUMBER)}${suffix};`;
    }),
    ...printExtensions(message.extension, message.nestedType, scope),
  ]);
}

/** A oneof is printed where its first field stands, so that fields keep their order. */
function printFields(message: DescriptorProto, scope: Scope): string[] {
  const print = (field: FieldDescriptorProto) => printField(field, message.nestedType, scope);
  return message.field.flatMap((field, i) => {
    if (!inOneof(field)) return [print(field)];
    const oneof = message.oneofDecl[field.oneofIndex];
    const members = message.field.filter((other) => inOneof(other) && other.oneofIndex === field.oneofIndex);
    if (oneof === undefined || members[0] !== message.field[i]) return [];
    return block(`oneof ${oneof.name}`, [
      ...optionStatements(OneofOptionsSchema, oneof.options, scope),
      ...members.map(print),
    ]);
  });
}

function printExtensions(extensions: FieldDescriptorProto[], siblings: DescriptorProto[], scope: Scope): string[] {
  return [...Map.groupBy(extensions, (extension) => extension.extendee)].flatMap(([extendee, fields]) =>
    block(
      `extend ${typeReference(extendee, scope)}`,
      fields.map((field) => printField(field, siblings, scope)),
    ),
  );
}

function printField(field: FieldDescriptorProto, siblings: DescriptorProto[], scope: Scope): string {
  const options = optionAssignments(FieldOptionsSchema, field.options, scope);
  if (field.extendee === "" && field.jsonName !== "" && field.jsonName !== protoCamelCase(field.name)) {
    options.unshift(`json_name = ${quote(field.jsonName)}`);
  }
  if (Object.hasOwn(field, "defaultValue")) options.unshift(`default = ${printDefault(field)}`);
  return `${printFieldType(field, siblings, scope)} ${field.name} = ${field.number}${bracketed(options)};`;
}

/** The label, if one is written, and the type. */
function printFieldType(field: FieldDescriptorProto, siblings: DescriptorProto[], scope: Scope): string {
  if (field.type === FieldType.GROUP) throw new Error(`${field.name}: groups are not supported`);
  const entry = siblings.find((type) => type.options?.mapEntry && field.typeName.endsWith(`.${type.name}`));
  const [key, value] = entry?.field ?? [];
  if (key && value) return `map<${printType(key, scope)}, ${printType(value, scope)}>`;
  return `${printLabel(field, scope)}${printType(field, scope)}`;
}

function printLabel(field: FieldDescriptorProto, scope: Scope): string {
  if (field.label === FieldLabel.REPEATED) return "repeated ";
  if (field.label === FieldLabel.REQUIRED) return "required ";
  const explicit = field.proto3Optional || (scope.syntax === "proto2" && !inOneof(field));
  return explicit ? "optional " : "";
}

function printType(field: FieldDescriptorProto, scope: Scope): string {
  return field.typeName === "" ? FieldType[field.type].toLowerCase() : typeReference(field.typeName, scope);
}

function printDefault({ type, defaultValue }: FieldDescriptorProto): string {
  if (type === FieldType.STRING) return quote(defaultValue);
  // The descriptor holds the default of a bytes field with its escapes already in place.
  return type === FieldType.BYTES ? `"${defaultValue}"` : defaultValue;
}

function printEnum(enumeration: EnumDescriptorProto, scope: Scope): string[] {
  return block(`enum ${enumeration.name}`, [
    ...optionStatements(EnumOptionsSchema, enumeration.options, scope),
    ...printReserved(
      enumeration.reservedRange.map(({ start, end }) => printRange(start, end, MAX_ENUM_NUMBER)),
      enumeration.reservedName,
    ),
    ...enumeration.value.map(
      ({ name, number, options }) =>
        `${name} = ${number}${bracketed(optionAssignments(EnumValueOptionsSchema, options, scope))};`,
    ),
  ]);
}

function printReserved(ranges: string[], names: string[]): string[] {
  return [ranges, names.map(quote)].filter((list) => list.length > 0).map((list) => `reserved ${list.join(", ")};`);
}

/** A range of numbers, both ends included. */
function printRange(first: number, last: number, max: number): string {
  return first === last ? `${first}` : `${first} to ${last === max ? "max" : last}`;
}

function optionStatements<Desc extends DescMessage>(
  schema: Desc,
  options: MessageShape<Desc> | undefined,
  scope: Scope,
): string[] {
  return optionAssignments(schema, options, scope).map((assignment) => `option ${assignment};`);
}

/**
 * Options as `name = value`, one for each that is set. The value of an option has the syntax of the protobuf text
 * format, so the text form of the options message only needs other punctuation around its top-level fields:
 * `name: value`, `[extension]: value` or `[extension] { … }` with the inner lines indented.
 */
function optionAssignments<Desc extends DescMessage>(
  schema: Desc,
  options: MessageShape<Desc> | undefined,
  { registry }: Scope,
): string[] {
  if (options === undefined) return [];
  const assignments: string[] = [];
  for (const line of toText(schema, options, { registry, printUnknownFields: true }).trimEnd().split("\n")) {
    const start = /^(?:(?<name>[a-z_][a-z0-9_]*)|\[(?<extension>[\w.]+)\])(?:: (?<scalar>.*)| (?<message>\{.*))$/.exec(
      line,
    );
    if (start?.groups !== undefined) {
      const { name, extension, scalar, message } = start.groups;
      assignments.push(`${name ?? `(${extension})`} = ${scalar ?? message}`);
    } else if (/^[ }]/.test(line)) {
      assignments.push(`${assignments.pop()}\n${line}`);
    } else if (line !== "") {
      throw new Error(`${schema.typeName}: unknown option ${line}`);
    }
  }
  return assignments;
}

/** A synthetic oneof, which stands for proto3's `optional`, is not one in the text. */
function inOneof(field: FieldDescriptorProto): boolean {
  return Object.hasOwn(field, "oneofIndex") && !field.proto3Optional;
}

function typeReference(typeName: string, { packageName }: Scope): string {
  const own = `.${packageName}.`;
  return packageName !== "" && typeName.startsWith(own) ? typeName.slice(own.length) : typeName.replace(/^\./, "");
}

function block(head: string, body: string[]): string[] {
  return body.length === 0 ? [`${head} {}`] : [`${head} {`, ...body, "}"];
}

function bracketed(options: string[]): string {
  return options.length === 0 ? "" : ` [${options.join(", ")}]`;
}

function quote(text: string): string {
  return JSON.stringify(text);
}
