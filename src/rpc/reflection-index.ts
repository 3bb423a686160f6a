import { type DescEnum, type DescExtension, type DescFile, type DescMessage, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";

/** Finds the files of a set of descriptors by what is in them. Names are full, without a leading dot. */
export interface ReflectionIndex {
  byFilename(name: string): DescFile | undefined;
  bySymbol(name: string): DescFile | undefined;
  byExtension(extendee: string, number: number): DescFile | undefined;
  /** The numbers of the known extensions of a message, ascending; undefined if there is no such message. */
  extensionNumbers(extendee: string): number[] | undefined;
}

/** Indexes `roots` and all files that they depend on. */
export function createReflectionIndex(roots: readonly DescFile[]): ReflectionIndex {
  const files = new Map<string, DescFile>();
  const symbols = new Map<string, DescFile>();
  const messages = new Set<string>();
  const extensions = new Map<string, Map<number, DescFile>>();

  const addEnum = (file: DescFile, { typeName, values }: DescEnum) => {
    symbols.set(typeName, file);
    // Values live beside their enum, not in it.
    const scope = typeName.slice(0, typeName.lastIndexOf(".") + 1);
    for (const value of values) symbols.set(scope + value.name, file);
  };
  const addExtension = (file: DescFile, { typeName, extendee, number }: DescExtension) => {
    symbols.set(typeName, file);
    const numbers = extensions.get(extendee.typeName) ?? new Map<number, DescFile>();
    extensions.set(extendee.typeName, numbers.set(number, file));
  };
  const addMessage = (file: DescFile, message: DescMessage) => {
    symbols.set(message.typeName, file);
    messages.add(message.typeName);
    for (const { name } of [...message.fields, ...message.oneofs]) symbols.set(`${message.typeName}.${name}`, file);
    for (const nested of message.nestedEnums) addEnum(file, nested);
    for (const nested of message.nestedExtensions) addExtension(file, nested);
    for (const nested of message.nestedMessages) addMessage(file, nested);
  };
  for (const file of withDependencies(roots)) {
    files.set(file.proto.name, file);
    for (const message of file.messages) addMessage(file, message);
    for (const descEnum of file.enums) addEnum(file, descEnum);
    for (const extension of file.extensions) addExtension(file, extension);
    for (const service of file.services) {
      symbols.set(service.typeName, file);
      for (const { name } of service.methods) symbols.set(`${service.typeName}.${name}`, file);
    }
  }

  return {
    byFilename: (name) => files.get(name),
    bySymbol: (name) => symbols.get(name),
    byExtension: (extendee, number) => extensions.get(extendee)?.get(number),
    extensionNumbers(extendee) {
      if (!messages.has(extendee)) return undefined;
      return [...(extensions.get(extendee)?.keys() ?? [])].sort((a, b) => a - b);
    },
  };
}

/**
 * The serialized descriptors of a file and of all that it depends on, each before those that it depends on.
 *
 * Files of nothing but extensions, which only annotate other files' options, are left out of their dependencies:
 * protobufjs, and whoever reads reflection with it, cannot copy extensions of messages that it also knows.
 */
export function serializeWithDependencies(file: DescFile): Uint8Array[] {
  const needed = withDependencies([file]).filter((each) => each === file || !isAnnotationOnly(each));
  return needed.map(({ proto, dependencies }) => {
    const dependency = dependencies.filter((each) => !isAnnotationOnly(each)).map((each) => each.proto.name);
    return toBinary(FileDescriptorProtoSchema, { ...proto, dependency });
  });
}

function isAnnotationOnly({ messages, enums, services, extensions }: DescFile): boolean {
  return extensions.length > 0 && messages.length + enums.length + services.length === 0;
}

function withDependencies(roots: readonly DescFile[]): DescFile[] {
  const seen = new Set<string>();
  const files: DescFile[] = [];
  const visit = (file: DescFile) => {
    if (seen.has(file.proto.name)) return;
    seen.add(file.proto.name);
    file.dependencies.forEach(visit);
    files.push(file);
  };
  roots.forEach(visit);
  return files.reverse();
}
