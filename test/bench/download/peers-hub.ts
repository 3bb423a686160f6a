import { once } from "node:events";
import http, { type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { RandomFile } from "../../support/random-file.ts";

const REPO = "bench/model";
const COMMIT = "0123456789abcdef0123456789abcdef01234567";

/** A Hugging Face hub with one repository of one file, whose bytes come from elsewhere, as from the hub's CDN. */
export interface PeersHub extends AsyncDisposable {
  readonly endpoint: string;
  readonly repo: string;
}

/** Starts a hub on a free port that redirects to `url` for the bytes of `file`. */
export async function startPeersHub(file: RandomFile, url: string): Promise<PeersHub> {
  const { name, size, sha256 } = file;
  const answers: Readonly<Record<string, (response: ServerResponse) => void>> = {
    [`/api/models/${REPO}/revision/main`]: (response) => json(response, repository(name)),
    [`/api/models/${REPO}/tree/${COMMIT}`]: (response) => json(response, [lfsEntry(file)]),
    [`/${REPO}/resolve/${COMMIT}/${name}`]: (response) =>
      response
        .writeHead(302, {
          location: url,
          "x-repo-commit": COMMIT,
          "x-linked-size": String(size),
          "x-linked-etag": `"${sha256}"`,
        })
        .end(),
  };
  const server = http.createServer((request: IncomingMessage, response: ServerResponse) => {
    const answer = answers[request.url?.split("?", 1)[0] ?? ""];
    if (answer === undefined) response.writeHead(404).end();
    else answer(response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    // By another name than that of the bytes' server: a redirect to the same host would be taken for a renamed repository.
    endpoint: `http://localhost:${(server.address() as AddressInfo).port}`,
    repo: REPO,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}

function repository(file: string): object {
  return {
    _id: "0123456789abcdef01234567",
    id: REPO,
    sha: COMMIT,
    private: false,
    tags: [],
    downloads: 0,
    siblings: [{ rfilename: file }],
  };
}

function lfsEntry({ name, size, sha256 }: RandomFile): object {
  return { type: "file", oid: COMMIT, size, path: name, lfs: { oid: sha256, size, pointerSize: 134 } };
}

function json(response: ServerResponse, content: object): void {
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(content));
}
