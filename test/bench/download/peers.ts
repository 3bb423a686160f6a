import { join } from "node:path";
import type { RandomFile } from "../../support/random-file.ts";
import type { Contender } from "../support/interleave.ts";
import { addUsage, findProgram, type ProgramUsage, runProgram } from "../support/programs.ts";
import { withFolder } from "./compare-with-curl.ts";
import type { DownloadBench } from "./context.ts";
import { startPeersHub } from "./peers-hub.ts";

/** Another way to get one file. */
export type Peer = Contender<ProgramUsage>;

/** The names of peers, as the table tells them. */
export const PEER = {
  curl: "curl -o",
  curlWithSha256: "curl and openssl sha256",
  aria2: "aria2c -x16 -s16",
  aria2WithChecksum: "aria2c -x16 -s16 --checksum",
  huggingFace: "hf download",
} as const;

/** Everybody else who can download a file and is installed; others are named as skipped. Outputs are removed after each run. */
export async function findPeers(bench: DownloadBench, file: RandomFile, opened: AsyncDisposableStack): Promise<Peer[]> {
  const output = join(bench.folder, "peer");
  const target = join(output, file.name);
  const url = `${bench.origins.http}/${file.name}`;
  const programs = new Map(["curl", "openssl", "aria2c", "hf"].map((name) => [name, findProgram(name)]));
  const peers: Peer[] = [];
  const add = (name: string, needs: readonly string[], run: (...programs: string[]) => Promise<ProgramUsage>): void => {
    const found = needs.map((need) => programs.get(need)).filter((path) => path !== undefined);
    if (found.length === needs.length) peers.push({ name, run: () => withFolder(output, () => run(...found)) });
    else bench.note(`skipped: ${name} (${needs.join(" and ")} not installed)`);
  };

  const curl = (program = "curl") => runProgram(program, ["-sSf", "-o", target, url]);
  add(PEER.curl, ["curl"], curl);
  add(PEER.curlWithSha256, ["curl", "openssl"], async (curlProgram, openssl = "openssl") =>
    addUsage(await curl(curlProgram), await runProgram(openssl, ["dgst", "-sha256", target])),
  );
  const aria2 = (program = "aria2c", ...further: string[]) =>
    runProgram(program, ["-x16", "-s16", "--quiet", ...further, "-d", output, url]);
  add(PEER.aria2, ["aria2c"], (program) => aria2(program));
  add(PEER.aria2WithChecksum, ["aria2c"], (program) => aria2(program, `--checksum=sha-256=${file.sha256}`));
  const hub = opened.use(await startPeersHub(file, url));
  add(PEER.huggingFace, ["hf"], (program = "hf") =>
    runProgram(program, ["download", hub.repo, "--local-dir", output], {
      HF_ENDPOINT: hub.endpoint,
      HF_HOME: join(output, "home"),
      HF_HUB_DISABLE_XET: "1",
      HF_HUB_DISABLE_TELEMETRY: "1",
      HF_HUB_DISABLE_PROGRESS_BARS: "1",
    }),
  );
  return peers;
}
