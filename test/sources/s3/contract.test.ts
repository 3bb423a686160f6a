import type { Source } from "../../../src/domain/source.ts";
import { deleteObject, keysBelow, putObject, withoutAwsEnvironment } from "../../support/s3-objects.ts";
import { startS3Server } from "../../support/s3-server.ts";
import { LOOPBACK, named } from "../helpers.ts";
import { describeSourceContract, type SourceUnderTest } from "../source-contract.ts";

const BUCKET = "models";
const SECRETS = ["S3RVER:S3RVER", "no-such-secret"];

withoutAwsEnvironment();

describeSourceContract("s3", {
  start,
  hasRevisions: true,
  forbidding: { options: { allowNetworks: [] }, reason: "ADDRESS_NOT_ALLOWED" },
});

async function start(): Promise<SourceUnderTest> {
  const server = await startS3Server(BUCKET);
  const { client, endpoint } = server;
  const sourceOf = (name: string, at = endpoint): Source => ({
    kind: "s3",
    uri: `s3://${BUCKET}/${name}/`,
    endpoint: at,
    region: "",
    credential: "",
  });
  return {
    options: { allowNetworks: LOOPBACK, credentials: named({}) },
    async put(name, files) {
      for (const key of await keysBelow(client, BUCKET, `${name}/`)) await deleteObject(client, BUCKET, key);
      await Promise.all(
        Object.entries(files).map(([path, content]) => putObject(client, BUCKET, `${name}/${path}`, content)),
      );
      return sourceOf(name);
    },
    missing: () => sourceOf("nothing-here"),
    remove: (name, path) => deleteObject(client, BUCKET, `${name}/${path}`),
    network: {
      behave(mood) {
        server.intercept =
          mood === "usual"
            ? undefined
            : (_request, response) => {
                if (mood !== "silent") response.writeHead(mood.status, mood.headers).end();
                return true;
              };
      },
      at: (port) => ({ source: sourceOf("nowhere", `http://127.0.0.1:${port}`) }),
    },
    credentials: { right: { token: "S3RVER:S3RVER" }, wrong: { token: "NOBODY:no-such-secret" }, secrets: SECRETS },
    close: () => server.close(),
  };
}
