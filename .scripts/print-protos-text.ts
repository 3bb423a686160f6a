import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createRegistry } from "@bufbuild/protobuf";
import { file_buf_validate_validate } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { runBuf } from "./print-protos-buf.ts";
import { printProtoFile } from "./print-protos-printer.ts";
import { loadThirdPartyProtos, type ThirdPartyProto } from "./print-protos-sources.ts";

/** The only custom options in these files are those that validate.proto defines for itself. */
const registry = createRegistry(file_buf_validate_validate);

/** The text of every third-party .proto file by its path below `proto/`, formatted by buf. */
export async function printThirdPartyProtos(): Promise<Map<string, string>> {
  const protos = await loadThirdPartyProtos();
  const folder = await mkdtemp(join(tmpdir(), "printed-protos-"));
  try {
    for (const proto of protos) {
      await mkdir(dirname(join(folder, proto.path)), { recursive: true });
      await writeFile(join(folder, proto.path), `${header(proto)}\n${printProtoFile(proto.descriptor, registry)}`);
    }
    await runBuf("format", "--write", folder);
    return new Map(
      await Promise.all(
        protos.map(async ({ path }) => [path, await readFile(join(folder, path), "utf8")] as [string, string]),
      ),
    );
  } finally {
    await rm(folder, { recursive: true });
  }
}

function header({ npmPackage, copyright }: ThirdPartyProto): string {
  return [
    `// Printed by .scripts/print-protos.ts from the descriptor in the npm package ${npmPackage}. Do not edit.`,
    `// ${copyright}. Licensed under the Apache License, Version 2.0.`,
    "",
  ].join("\n");
}
