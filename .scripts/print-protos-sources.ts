import { copyFile, mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { FileDescriptorProto } from "@bufbuild/protobuf/wkt";
import { file_buf_validate_validate } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { compileProtos } from "./print-protos-buf.ts";

const require = createRequire(import.meta.url);

/** A third-party .proto file as an npm package describes it. */
export interface ThirdPartyProto {
  /** Where it stands below `proto/`, which is also the name that other files import it by. */
  path: string;
  /** The npm package that the descriptor is taken from. */
  npmPackage: string;
  /** The copyright notice in the package's file. */
  copyright: string;
  descriptor: FileDescriptorProto;
}

const VALIDATE = {
  path: "buf/validate/validate.proto",
  npmPackage: "@bufbuild/protovalidate",
  file: require.resolve("@bufbuild/protovalidate/gen/buf/validate/validate_pb.js"),
};

/** These packages hold .proto files; buf makes descriptors of them. */
const COMPILED = [
  {
    path: "google/rpc/error_details.proto",
    npmPackage: "google-proto-files",
    file: require.resolve("google-proto-files/google/rpc/error_details.proto"),
  },
  {
    path: "google/rpc/status.proto",
    npmPackage: "google-proto-files",
    file: require.resolve("google-proto-files/google/rpc/status.proto"),
  },
  {
    path: "grpc/health/v1/health.proto",
    npmPackage: "grpc-health-check",
    file: require.resolve("grpc-health-check/proto/health/v1/health.proto"),
  },
  {
    path: "grpc/reflection/v1/reflection.proto",
    npmPackage: "grpc-js-reflection-client",
    file: require.resolve("grpc-js-reflection-client/proto/v1.proto"),
  },
  {
    path: "grpc/reflection/v1alpha/reflection.proto",
    npmPackage: "grpc-js-reflection-client",
    file: require.resolve("grpc-js-reflection-client/proto/v1alpha.proto"),
  },
];

/** The third-party files that stand below `proto/`, described by the installed packages. */
export async function loadThirdPartyProtos(): Promise<ThirdPartyProto[]> {
  const compiled = await compilePackageFiles();
  const described = [
    { ...VALIDATE, descriptor: file_buf_validate_validate.proto },
    ...COMPILED.map((source) => ({ ...source, descriptor: compiled.get(source.path) })),
  ];
  return Promise.all(
    described.map(async ({ path, npmPackage, file, descriptor }) => {
      if (descriptor === undefined) throw new Error(`${npmPackage}: no descriptor of ${path}`);
      return { path, npmPackage, copyright: await readCopyright(file), descriptor };
    }),
  );
}

/** Packages keep their files under paths of their own: each is compiled in the place where it will stand. */
async function compilePackageFiles(): Promise<Map<string, FileDescriptorProto>> {
  const folder = await mkdtemp(join(tmpdir(), "third-party-protos-"));
  try {
    for (const { path, file } of COMPILED) {
      await mkdir(dirname(join(folder, path)), { recursive: true });
      await copyFile(file, join(folder, path));
    }
    return new Map((await compileProtos(folder)).map((descriptor) => [descriptor.name, descriptor]));
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function readCopyright(file: string): Promise<string> {
  const notice = /^\/\/ (Copyright .+?)\.?$/m.exec(await readFile(file, "utf8"))?.[1];
  if (notice === undefined) throw new Error(`${file}: no copyright notice`);
  return notice;
}
