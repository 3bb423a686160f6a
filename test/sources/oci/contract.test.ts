import type { Source } from "../../../src/domain/source.ts";
import { digestOf, startRegistry } from "../../support/registry.ts";
import { LOOPBACK, named } from "../helpers.ts";
import { describeSourceContract, type PlacedFiles, type SourceUnderTest } from "../source-contract.ts";

const PASSWORD = "right-pa55";
const TITLE = "org.opencontainers.image.title";

describeSourceContract("oci", {
  start: startOci,
  hasRevisions: true,
  forbidding: { options: { allowNetworks: [] }, reason: "ADDRESS_NOT_ALLOWED" },
});

async function startOci(): Promise<SourceUnderTest> {
  const registry = await startRegistry({ auth: "bearer", password: PASSWORD, blobsElsewhere: true });
  const digests = new Map<string, string>();
  const refer = (reference: string): Source => ({ kind: "oci", reference, credential: "" });
  return {
    options: { allowNetworks: LOOPBACK, credentials: named({}) },
    async put(name, files: PlacedFiles, access) {
      const layers = Object.entries(files).map(([path, bytes]) => {
        digests.set(`${name}/${path}`, digestOf(bytes));
        return { type: "application/octet-stream", bytes, annotations: { [TITLE]: path } };
      });
      registry.push(`org/${name}`, "latest", { artifactType: "application/vnd.test.model", layers });
      if (access === "guarded") registry.guard(`org/${name}`);
      return refer(`${registry.host}/org/${name}`);
    },
    missing: () => refer(`${registry.host}/org/missing`),
    async remove(name, path) {
      registry.forget(`org/${name}`, digests.get(`${name}/${path}`) ?? "");
    },
    network: {
      behave: (mood) => registry.behave(mood === "usual" ? undefined : mood),
      at: (port) => ({ source: refer(`127.0.0.1:${port}/org/name`) }),
    },
    credentials: {
      right: { token: `reader:${PASSWORD}` },
      wrong: { token: "reader:wrong-pa55" },
      secrets: [PASSWORD, "wrong-pa55"],
    },
    close: () => registry.close(),
  };
}
