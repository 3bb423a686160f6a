import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createAuthority } from "../../support/certificates.ts";
import { startNginx } from "../support/nginx.ts";
import { startOriginProcess } from "../support/origin-process.ts";
import { findProgram } from "../support/programs.ts";

/** Where the measured files are served, as fast as the machine can. */
export interface Origins {
  /** What serves them. */
  readonly name: string;
  /** Scheme, host and port, in clear and with TLS. */
  readonly http: string;
  readonly https: string;
  /** The file with the certificate that is to be trusted. */
  readonly authority: string;
}

/** Starts nginx where it is installed, else our own servers, on the files of `root`; what is started goes into `opened`. */
export async function startOrigins(folder: string, root: string, opened: AsyncDisposableStack): Promise<Origins> {
  const ca = createAuthority("model-manager benchmark");
  const tls = ca.issue("127.0.0.1");
  const inFolder = (name: string) => join(folder, name);
  const authority = inFolder("authority.pem");
  await writeFile(authority, ca.cert);
  await writeFile(inFolder("origin.pem"), tls.cert);
  await writeFile(inFolder("origin.key"), tls.key, { mode: 0o600 });
  const program = findProgram("nginx");
  if (program === undefined) {
    const http = opened.use(await startOriginProcess({ root }));
    const https = opened.use(await startOriginProcess({ root, tls }));
    return { name: "an own server, as nginx is not installed", http: http.base, https: https.base, authority };
  }
  const nginx = opened.use(
    await startNginx({
      program,
      folder: inFolder("nginx"),
      root,
      tls: { cert: inFolder("origin.pem"), key: inFolder("origin.key") },
    }),
  );
  const at = (scheme: string, port: number) => `${scheme}://127.0.0.1:${port}`;
  return { name: "nginx", http: at("http", nginx.httpPort), https: at("https", nginx.httpsPort), authority };
}
