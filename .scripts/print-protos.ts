import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { projectRoot } from "./print-protos-buf.ts";
import { printThirdPartyProtos } from "./print-protos-text.ts";

/**
 * Prints the third-party .proto files below `proto/` from the descriptors that npm packages hold: names and numbers,
 * without comments. Run it after an update of one of these packages.
 */
for (const [path, text] of await printThirdPartyProtos()) {
  const file = join(projectRoot, "proto", path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
  console.log(`proto/${path}`);
}
