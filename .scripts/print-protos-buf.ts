import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { fromBinary } from "@bufbuild/protobuf";
import { type FileDescriptorProto, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";

const run = promisify(execFile);

/** The project's top folder, absolute. */
export const projectRoot = fileURLToPath(new URL("..", import.meta.url));

/**
 * Runs the project's own `buf`, in the project's top folder, and gives back its standard output.
 *
 * @throws Error with buf's output as its message when buf ends with another exit code than 0.
 */
export async function runBuf(...args: string[]): Promise<Buffer> {
  const program = fileURLToPath(import.meta.resolve("@bufbuild/buf/bin/buf"));
  try {
    const { stdout } = await run(process.execPath, [program, ...args], {
      cwd: projectRoot,
      encoding: "buffer",
      maxBuffer: 64 * 1024 * 1024,
    });
    return stdout;
  } catch (error) {
    const { stdout = "", stderr = "" } = error as { stdout?: Buffer | string; stderr?: Buffer | string };
    const output = `${stderr}${stdout}`.trim();
    // Without output buf did not run at all, and only the cause says why.
    throw output === "" ? new Error(`buf ${args[0]} failed`, { cause: error }) : new Error(output);
  }
}

/**
 * Compiles a folder of .proto files and gives back the descriptors of the files in it, without those of what they
 * import, and without comments.
 *
 * @param folder the root that imports are relative to, absolute or relative to the project's top folder.
 * @param paths what to compile in it (files or folders, each starting with `folder`); everything when left out.
 */
export async function compileProtos(folder: string, paths: string[] = []): Promise<FileDescriptorProto[]> {
  const selection = paths.flatMap((path) => ["--path", path]);
  const flags = ["--as-file-descriptor-set", "--exclude-imports", "--exclude-source-info"];
  const bytes = await runBuf("build", folder, ...selection, ...flags, "--output", "-#format=binpb");
  return fromBinary(FileDescriptorSetSchema, bytes).file;
}
