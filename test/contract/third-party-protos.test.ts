import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { clearField, clone, createRegistry, toJson } from "@bufbuild/protobuf";
import { protoCamelCase } from "@bufbuild/protobuf/reflect";
import {
  type DescriptorProto,
  FieldDescriptorProtoSchema,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
} from "@bufbuild/protobuf/wkt";
import { file_buf_validate_validate } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compileProtos, projectRoot } from "../../.scripts/print-protos-buf.ts";
import { printProtoFile } from "../../.scripts/print-protos-printer.ts";
import { loadThirdPartyProtos } from "../../.scripts/print-protos-sources.ts";

const THIRD_PARTY = ["buf", "google", "grpc"];
const registry = createRegistry(file_buf_validate_validate);

/** All that a descriptor says, options included; what compilers may leave out, spell out or order freely is made alike. */
function content(file: FileDescriptorProto) {
  const copy = clone(FileDescriptorProtoSchema, file);
  // Some generators leave the ending out.
  copy.name = file.name.replace(/\.proto$/, "");
  if (copy.syntax === "proto2") clearField(copy, FileDescriptorProtoSchema.field.syntax);
  const messages = copy.messageType.flatMap(withNested);
  for (const field of [...copy.extension, ...messages.flatMap((message) => [...message.field, ...message.extension])]) {
    if (field.jsonName !== protoCamelCase(field.name)) continue;
    clearField(field, FieldDescriptorProtoSchema.field.jsonName);
  }
  for (const message of messages) message.nestedType.sort((a, b) => (a.name < b.name ? -1 : 1));
  return toJson(FileDescriptorProtoSchema, copy, { registry });
}

function withNested(message: DescriptorProto): DescriptorProto[] {
  return [message, ...message.nestedType.flatMap(withNested)];
}

describe("the third-party files below proto/", async () => {
  const sources = await loadThirdPartyProtos();
  let compiled: FileDescriptorProto[];

  beforeAll(async () => {
    compiled = await compileProtos(
      "proto",
      THIRD_PARTY.map((name) => `proto/${name}`),
    );
  });

  it("are the files that packages describe and no others", async () => {
    const found = await Promise.all(
      THIRD_PARTY.map(async (name) => {
        const entries = await readdir(join(projectRoot, "proto", name), { recursive: true });
        return entries.filter((entry) => entry.endsWith(".proto")).map((entry) => `${name}/${entry}`);
      }),
    );
    expect(found.flat().sort()).toEqual(sources.map(({ path }) => path).sort());
  });

  it.each(sources)("$path compiles to the descriptor in $npmPackage", ({ path, descriptor }) => {
    const file = compiled.find(({ name }) => name === path);
    if (file === undefined) throw new Error(`${path} was not compiled`);
    expect(content(file)).toEqual(content(descriptor));
  });

  it("hold what the service builds on", () => {
    const symbols = compiled.flatMap((file) => [
      ...file.messageType.map(({ name }) => `${file.package}.${name}`),
      ...file.service.flatMap((service) =>
        service.method.map((method) => `${file.package}.${service.name}/${method.name}`),
      ),
    ]);
    expect(symbols).toEqual(
      expect.arrayContaining([
        "buf.validate.FieldRules",
        "google.rpc.BadRequest",
        "google.rpc.ErrorInfo",
        "google.rpc.Status",
        "grpc.health.v1.Health/Check",
        "grpc.health.v1.Health/Watch",
        "grpc.health.v1.Health/List",
        "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
      ]),
    );
  });
});

describe("printed .proto text", () => {
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "printer-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  async function compile(text: string): Promise<FileDescriptorProto> {
    await writeFile(join(folder, "sample.proto"), text);
    const [file] = await compileProtos(folder);
    if (file === undefined) throw new Error("nothing was compiled");
    return file;
  }

  it.each([
    [
      "proto2",
      "options, defaults, ranges and extensions",
      `package sample.a;
      import public "google/protobuf/descriptor.proto";
      option optimize_for = CODE_SIZE;
      message Outer {
        option deprecated = true;
        reserved 4, 10 to 12, 1000 to max;
        reserved "old", "older";
        extensions 20, 30 to 40 [verification = UNVERIFIED];
        required string quoted = 1 [default = "a \\"b\\" \\\\ \\n é", json_name = "q"];
        optional bytes raw = 2 [default = "\\001\\"x\\377"];
        optional double limit = 3 [default = -inf, deprecated = true];
        optional Color color = 5 [default = RED];
        optional string empty = 6 [default = ""];
        repeated int32 packed = 7 [packed = true];
        oneof choice { Inner first = 8; .sample.a.Outer second = 9; }
        map<string, Inner> inners = 15;
        message Inner { optional Color color = 1; map<int64, string> names = 2; }
        enum Color { option allow_alias = true; reserved -5 to -3, 9 to max; reserved "GONE";
          RED = 0; ROUGE = 0 [deprecated = true]; BELOW = -1; }
        extend Outer { optional Inner twenty = 20; }
      }
      message Empty {}
      extend Outer { optional int32 thirty = 30; }
      extend google.protobuf.FieldOptions { optional string note = 50001; }`,
    ],
    [
      "proto3",
      "services and presence",
      `package sample.a;
      import "google/protobuf/timestamp.proto";
      message Thing {
        optional uint64 maybe = 1;
        google.protobuf.Timestamp time = 2;
        oneof one { string a = 3; bytes b = 4; }
        optional string other = 5;
        repeated sfixed64 many = 6 [packed = false];
      }
      service Things {
        option deprecated = true;
        rpc Get(Thing) returns (Thing) { option idempotency_level = NO_SIDE_EFFECTS; }
        rpc Put(stream Thing) returns (Thing);
        rpc Watch(Thing) returns (stream Thing) { option deprecated = true; }
        rpc Both(stream Thing) returns (stream google.protobuf.Timestamp);
      }`,
    ],
    ["proto3", "no package", "message NoPackage { NoPackage self = 1; }"],
  ])("compiles to the same descriptor (%s: %s)", async (syntax, _title, body) => {
    const original = await compile(`syntax = "${syntax}";\n${body}`);
    const printed = await compile(printProtoFile(original, registry));
    expect(content(printed)).toEqual(content(original));
  });

  it("is refused for options that nobody can name", async () => {
    const text = `syntax = "proto2"; import "google/protobuf/descriptor.proto";
      extend google.protobuf.FieldOptions { optional string note = 50001; }
      message Thing { optional string a = 1 [(note) = "x"]; }`;
    const file = await compile(text);
    expect(() => printProtoFile(file, registry)).toThrow("google.protobuf.FieldOptions: unknown option 50001");
  });

  it("is refused for editions and groups", async () => {
    const edition = await compile('edition = "2023"; message Thing {}');
    expect(() => printProtoFile(edition, registry)).toThrow("sample.proto: syntax editions is not supported");
    const group = await compile('syntax = "proto2"; message Thing { optional group Part = 1 {} }');
    expect(() => printProtoFile(group, registry)).toThrow("part: groups are not supported");
  });
});
