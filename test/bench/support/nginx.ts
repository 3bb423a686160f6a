import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";

const START_MS = 5_000;

export interface NginxOptions {
  readonly program: string;
  /** A folder of its own, for its configuration and what it writes. */
  readonly folder: string;
  /** The folder whose files are served. */
  readonly root: string;
  /** Files with the certificate and the key, PEM. */
  readonly tls: { readonly cert: string; readonly key: string };
}

/** An nginx of our own, with one worker, that serves a folder in clear and with TLS. */
export interface Nginx extends AsyncDisposable {
  readonly httpPort: number;
  readonly httpsPort: number;
}

/** Starts nginx on two free ports of 127.0.0.1; throws if it does not listen within 5 s. */
export async function startNginx({ program, folder, root, tls }: NginxOptions): Promise<Nginx> {
  const [httpPort = 0, httpsPort = 0] = await freePorts(2);
  await mkdir(folder, { recursive: true });
  const configuration = join(folder, "nginx.conf");
  await writeFile(configuration, configurationOf({ folder, root, tls, httpPort, httpsPort }));
  const child = spawn(program, ["-p", folder, "-c", configuration, "-e", join(folder, "error.log")], {
    stdio: "inherit",
  });
  const exited = once(child, "exit");
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGTERM");
    await exited;
  };
  const deadline = performance.now() + START_MS;
  while (!(await accepts(httpPort))) {
    if (child.exitCode !== null || performance.now() > deadline) {
      await stop();
      throw new Error("nginx does not listen; what it says of it stands above");
    }
    await setTimeout(20);
  }
  return { httpPort, httpsPort, [Symbol.asyncDispose]: stop };
}

type Served = Omit<NginxOptions, "program"> & { readonly httpPort: number; readonly httpsPort: number };

function configurationOf({ folder, root, tls, httpPort, httpsPort }: Served): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  // As root its worker would be another user, who cannot read a private folder.
  const user = process.getuid?.() === 0 ? "user root;" : "";
  return `${user}
daemon off;
pid ${join(folder, "nginx.pid")};
worker_processes 1;
events { worker_connections 1024; }
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  default_type application/octet-stream;
  ${temporary.map((name) => `${name}_temp_path ${join(folder, name)};`).join("\n  ")}
  server {
    listen 127.0.0.1:${httpPort};
    listen 127.0.0.1:${httpsPort} ssl;
    ssl_certificate ${tls.cert};
    ssl_certificate_key ${tls.key};
    root ${root};
  }
}
`;
}

/** Ports that were free a moment ago: nginx cannot choose for itself. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, "127.0.0.1");
      await once(server, "listening");
      return server;
    }),
  );
  return Promise.all(
    servers.map(async (server) => {
      const address = server.address();
      server.close();
      await once(server, "close");
      return typeof address === "object" && address !== null ? address.port : 0;
    }),
  );
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("error", () => resolve(false));
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
  });
}
