import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { ConfigError, printConfig, readConfig } from "../../src/config.ts";

const read = (environment: Record<string, string>) => readConfig(environment).config;

function problemsOf(environment: Record<string, string>): Record<string, string> {
  try {
    readConfig(environment);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const { variable, rule } of error.problems) expect(error.message).toContain(`${variable}: ${rule}`);
    return Object.fromEntries(error.problems.map(({ variable, rule }) => [variable, rule]));
  }
  return {};
}

describe("the configuration", () => {
  it("has a default for everything that can have one", () => {
    const config = read({});
    expect(config).toEqual({
      host: "127.0.0.1",
      port: 8085,
      data: resolve("data"),
      store: { folder: resolve("data/store") },
      localRoots: [],
      allowNetworks: [],
      workerLeaseMs: 30_000,
      maxDownloads: 4,
      maxConnections: 64,
      maxHostConnections: 32,
      scrubRate: 32 * 1024 ** 2,
      shutdownGraceMs: 10_000,
      maxMessageBytes: 4 * 1024 ** 2,
      server: "http://127.0.0.1:8085",
      serverTls: {},
      log: { level: "info", format: "auto" },
      huggingFace: { endpoint: "https://huggingface.co" },
      s3: { region: "us-east-1" },
      proxies: {},
    });
    expect(Object.isFrozen(config) && Object.isFrozen(config.log) && Object.isFrozen(config.localRoots)).toBe(true);
  });

  it("reads every variable", () => {
    const config = read({
      MODEL_MANAGER_HOST: "[::1]",
      MODEL_MANAGER_PORT: "0",
      MODEL_MANAGER_DATA: "/srv/models",
      DATABASE_URL: "postgres://user:secret@db:5432/models",
      MODEL_MANAGER_DATABASE_DIRECT_URL: "postgresql://db/models",
      MODEL_MANAGER_STORE: "/blobs",
      MODEL_MANAGER_LOCAL_ROOTS: "/a:/b/../c:",
      MODEL_MANAGER_ALLOW_NETWORKS: "127.0.0.0/8, 10.1.2.3 fd00::/8",
      MODEL_MANAGER_ALLOWED_LICENSES: "Apache-2.0, mit unknown",
      MODEL_MANAGER_CREDENTIALS: "/etc/credentials.json",
      MODEL_MANAGER_WORKER_LEASE: "500ms",
      MODEL_MANAGER_MAX_DOWNLOADS: "2",
      MODEL_MANAGER_MAX_CONNECTIONS: "8",
      MODEL_MANAGER_MAX_HOST_CONNECTIONS: "5",
      MODEL_MANAGER_RATE_LIMIT: "10MiB",
      MODEL_MANAGER_HEADROOM: "3%",
      MODEL_MANAGER_QUOTA: "2TiB",
      MODEL_MANAGER_SCRUB_RATE: "1MiB",
      MODEL_MANAGER_TLS_CERT: "/tls/cert.pem",
      MODEL_MANAGER_TLS_KEY: "/tls/key.pem",
      MODEL_MANAGER_TLS_CLIENT_CA: "/tls/ca.pem",
      MODEL_MANAGER_TOKEN: "t0ken",
      MODEL_MANAGER_SHUTDOWN_GRACE: "1m",
      MODEL_MANAGER_MAX_MESSAGE: "1MiB",
      MODEL_MANAGER_SERVER: "https://models.example:8443/",
      MODEL_MANAGER_SERVER_CA: "/tls/ca.pem",
      MODEL_MANAGER_CLIENT_CERT: "/tls/me.pem",
      MODEL_MANAGER_CLIENT_KEY: "/tls/me.key",
      MODEL_MANAGER_LOG_LEVEL: "DEBUG",
      MODEL_MANAGER_LOG_FORMAT: "json",
      HF_ENDPOINT: "http://hub.example/",
      HF_TOKEN: "hf_abc",
      AWS_ENDPOINT_URL: "http://unused:9000",
      AWS_ENDPOINT_URL_S3: "http://minio:9000/",
      AWS_REGION: "eu-central-1",
      AWS_DEFAULT_REGION: "unused",
      HTTPS_PROXY: "http://unused:3128",
      https_proxy: "http://proxy:3128",
      NO_PROXY: "localhost,.internal",
    });
    expect(config).toEqual({
      host: "::1",
      port: 0,
      data: "/srv/models",
      databaseUrl: "postgres://user:secret@db:5432/models",
      databaseDirectUrl: "postgresql://db/models",
      store: { folder: "/blobs" },
      localRoots: ["/a", "/c"],
      allowNetworks: ["127.0.0.0/8", "10.1.2.3/32", "fd00::/8"],
      allowedLicenses: ["apache-2.0", "mit", "unknown"],
      credentials: "/etc/credentials.json",
      workerLeaseMs: 500,
      maxDownloads: 2,
      maxConnections: 8,
      maxHostConnections: 5,
      rateLimit: 10 * 1024 ** 2,
      headroom: { percent: 3 },
      quota: 2 * 1024 ** 4,
      scrubRate: 1024 ** 2,
      tls: { cert: "/tls/cert.pem", key: "/tls/key.pem", clientCa: "/tls/ca.pem" },
      token: "t0ken",
      shutdownGraceMs: 60_000,
      maxMessageBytes: 1024 ** 2,
      server: "https://models.example:8443",
      serverTls: { ca: "/tls/ca.pem", cert: "/tls/me.pem", key: "/tls/me.key" },
      log: { level: "debug", format: "json" },
      huggingFace: { endpoint: "http://hub.example", token: "hf_abc" },
      s3: { endpoint: "http://minio:9000", region: "eu-central-1" },
      proxies: { https: "http://proxy:3128", none: "localhost,.internal" },
    });
  });

  it("takes empty values as not set, and leaves other programs' variables alone", () => {
    const config = read({ MODEL_MANAGER_PORT: " ", MODEL_MANAGER_TOKEN: "", PATH: "/bin", MODELS: "x", PORT: "nan" });
    expect(config.port).toBe(8085);
    expect(config.token).toBeUndefined();
  });

  it.each(["off", "OFF", "0"])("checks nothing in the background with %s", (none) => {
    const config = read({ MODEL_MANAGER_SCRUB_RATE: none });
    expect(config.scrubRate).toBeUndefined();
    expect(printConfig(config)).toContain("MODEL_MANAGER_SCRUB_RATE=off\n");
  });

  it("takes a bucket for the store, with the server and the region of sources unless it has its own", () => {
    const bucket = { MODEL_MANAGER_DATA: "/srv", MODEL_MANAGER_STORE: "s3://models/team/a" };
    const location = { bucket: "models", prefix: "team/a/", spool: "/srv/spool" };
    expect(read(bucket).store).toEqual({ ...location, endpoint: undefined, region: "us-east-1" });
    const environment = { AWS_ENDPOINT_URL: "http://minio:9000", AWS_DEFAULT_REGION: "eu-west-1" };
    expect(read({ ...bucket, ...environment }).store).toEqual({
      ...location,
      endpoint: "http://minio:9000",
      region: "eu-west-1",
    });
    const own = { MODEL_MANAGER_STORE_ENDPOINT: "http://other:9000", MODEL_MANAGER_STORE_REGION: "garage" };
    const config = read({ ...bucket, ...environment, ...own });
    expect(config.store).toEqual({ ...location, endpoint: "http://other:9000", region: "garage" });
    expect(printConfig(config)).toContain("MODEL_MANAGER_STORE=s3://models/team/a/\n");
    expect(read({ MODEL_MANAGER_STORE: "s3://models" }).store).toMatchObject({ bucket: "models", prefix: "" });
  });

  it("uses the database's address as the direct one", () => {
    expect(read({ DATABASE_URL: "postgres:///db?host=/run" }).databaseDirectUrl).toBe("postgres:///db?host=/run");
  });

  it.each([
    ["MODEL_MANAGER_HOST", "127.0.0.1:8085", /address or a host name, without a port/],
    ["MODEL_MANAGER_PORT", "http", /whole number from 0 to 65535/],
    ["MODEL_MANAGER_PORT", "65536", /whole number from 0 to 65535/],
    ["MODEL_MANAGER_PORT", "80.5", /whole number from 0 to 65535/],
    ["MODEL_MANAGER_STORE", "s3://bucket/../other", /s3:\/\/bucket\/prefix/],
    ["MODEL_MANAGER_STORE", "s3://Bucket", /s3:\/\/bucket\/prefix/],
    ["MODEL_MANAGER_STORE_ENDPOINT", "http://minio:9000", /is for a store in S3/],
    ["MODEL_MANAGER_STORE_REGION", "eu-central-1", /is for a store in S3/],
    ["MODEL_MANAGER_STORE", "gs://bucket", /must be a folder/],
    ["DATABASE_URL", "mysql://db/models", /postgres:\/\/user:password@host:5432\/database/],
    ["MODEL_MANAGER_ALLOW_NETWORKS", "127.0.0.0/8,home", /separated by commas; 'home' is none/],
    ["MODEL_MANAGER_ALLOWED_LICENSES", "mit;gpl", /licenses such as apache-2.0 or mit/],
    ["MODEL_MANAGER_ALLOWED_LICENSES", ",", /licenses such as apache-2.0 or mit/],
    ["MODEL_MANAGER_ALLOW_NETWORKS", "10.0.0.0/33", /'10.0.0.0\/33' is none/],
    ["MODEL_MANAGER_WORKER_LEASE", "30", /duration with its unit/],
    ["MODEL_MANAGER_WORKER_LEASE", "1ms", /from 100ms to 1h/],
    ["MODEL_MANAGER_MAX_DOWNLOADS", "0", /whole number from 1 to 1000/],
    ["MODEL_MANAGER_MAX_CONNECTIONS", "-1", /whole number from 1 to 10000/],
    ["MODEL_MANAGER_RATE_LIMIT", "fast", /size such as 64MiB/],
    ["MODEL_MANAGER_QUOTA", "0", /at least 1 byte/],
    ["MODEL_MANAGER_SCRUB_RATE", "slow", /size such as 64MiB/],
    ["MODEL_MANAGER_RATE_LIMIT", "0", /from 1KiB to 1PiB/],
    ["MODEL_MANAGER_HEADROOM", "some", /size such as 512MiB, or a share of the whole from 0% to 100%/],
    ["MODEL_MANAGER_TOKEN", "two words", /1 to 8192 visible ASCII characters/],
    ["MODEL_MANAGER_SHUTDOWN_GRACE", "2h", /from 0s to 1h/],
    ["MODEL_MANAGER_MAX_MESSAGE", "2GiB", /from 1KiB to 1GiB/],
    ["MODEL_MANAGER_SERVER", "127.0.0.1:8085", /http or https URL/],
    ["MODEL_MANAGER_LOG_LEVEL", "loud", /one of error, warn, info, debug/],
    ["MODEL_MANAGER_LOG_FORMAT", "xml", /one of auto, pretty, json/],
    ["HF_ENDPOINT", "ftp://hub", /http or https URL/],
    ["HTTPS_PROXY", "socks5://proxy:1080", /http or https URL/],
  ])("refuses %s=%s", (variable, value, rule) => {
    const problems = problemsOf({ [variable]: value });
    expect(Object.keys(problems)).toEqual([variable]);
    expect(problems[variable]).toMatch(rule);
  });

  it("reports all mistakes together, and no secret among them", () => {
    const environment = {
      MODEL_MANAGER_PORT: "x",
      MODEL_MANAGER_HOST: "0.0.0.0",
      MODEL_MANAGER_TLS_CERT: "/cert.pem",
      MODEL_MANAGER_TOKN: "s3cr3t",
      HF_TOKEN: "hf s3cr3t",
    };
    const problems = problemsOf(environment);
    expect(Object.keys(problems).sort()).toEqual([
      "HF_TOKEN",
      "MODEL_MANAGER_PORT",
      "MODEL_MANAGER_TLS_KEY",
      "MODEL_MANAGER_TOKEN",
      "MODEL_MANAGER_TOKN",
    ]);
    expect(JSON.stringify(problems)).not.toContain("s3cr3t");
  });

  it.each(["0.0.0.0", "::", "10.0.0.1", "models.example", "::ffff:10.0.0.1"])(
    "listens on %s only with a token",
    (host) => {
      expect(problemsOf({ MODEL_MANAGER_HOST: host }).MODEL_MANAGER_TOKEN).toMatch(/since MODEL_MANAGER_HOST is/);
      expect(read({ MODEL_MANAGER_HOST: host, MODEL_MANAGER_TOKEN: "t" }).host).toBe(host);
    },
  );

  it.each(["127.0.0.1", "127.9.9.9", "localhost", "::1", "::ffff:127.0.0.1"])("listens on %s without", (host) => {
    expect(read({ MODEL_MANAGER_HOST: host }).host).toBe(host);
  });

  it.each([
    [{ MODEL_MANAGER_TLS_CERT: "/c" }, "MODEL_MANAGER_TLS_KEY"],
    [{ MODEL_MANAGER_TLS_KEY: "/k" }, "MODEL_MANAGER_TLS_CERT"],
    [{ MODEL_MANAGER_TLS_CLIENT_CA: "/ca" }, "MODEL_MANAGER_TLS_CERT"],
    [{ MODEL_MANAGER_DATABASE_DIRECT_URL: "postgres://db" }, "DATABASE_URL"],
  ])("wants what goes with %j", (environment, missing) => {
    expect(problemsOf(environment)).toEqual({ [missing]: expect.stringContaining("must be set too") });
  });
});

describe("unknown names", () => {
  it.each([
    ["MODEL_MANAGER_PROT", "MODEL_MANAGER_PORT"],
    ["MODEL_MANAGER_MAX_CONECTIONS", "MODEL_MANAGER_MAX_CONNECTIONS"],
    ["MODEL_MANAGER_DATABASE_URL", "DATABASE_URL"],
    ["MODEL_MANAGER_LOGLEVEL", "MODEL_MANAGER_LOG_LEVEL"],
  ])("%s is refused, and %s is named", (name, near) => {
    expect(problemsOf({ [name]: "1" })[name]).toContain(`did you mean ${near}`);
  });

  it("are refused without a guess where nothing is near", () => {
    expect(problemsOf({ MODEL_MANAGER_QUANTUM_FLUX: "1" })).toEqual({
      MODEL_MANAGER_QUANTUM_FLUX: "is not a variable of the model manager",
    });
  });

  it("are ignored with a warning where Kubernetes sets them", () => {
    const injected = {
      MODEL_MANAGER_PORT: "tcp://10.0.0.7:8085",
      MODEL_MANAGER_SERVICE_HOST: "10.0.0.7",
      MODEL_MANAGER_SERVICE_PORT: "8085",
      MODEL_MANAGER_SERVICE_PORT_GRPC: "8085",
      MODEL_MANAGER_PORT_8085_TCP: "tcp://10.0.0.7:8085",
      MODEL_MANAGER_PORT_8085_TCP_ADDR: "10.0.0.7",
      MODEL_MANAGER_DB_PORT: "tcp://10.0.0.8:5432",
      MODEL_MANAGER_DB_SERVICE_HOST: "10.0.0.8",
    };
    const { config, warnings } = readConfig(injected);
    expect(config.port).toBe(8085);
    expect(warnings).toHaveLength(Object.keys(injected).length);
    for (const name of Object.keys(injected)) expect(warnings.join("\n")).toContain(`${name} is ignored`);
  });
});

describe("the printed configuration", () => {
  it("is a file of the same variables, and can be read again", () => {
    const environment = {
      MODEL_MANAGER_PORT: "9000",
      MODEL_MANAGER_RATE_LIMIT: "10MiB",
      MODEL_MANAGER_DATA: "/d",
      MODEL_MANAGER_HEADROOM: "3%",
    };
    const text = printConfig(read(environment));
    expect(text).toContain("MODEL_MANAGER_PORT=9000\n");
    expect(text).toContain("MODEL_MANAGER_WORKER_LEASE=30s\n");
    expect(text).toContain("# MODEL_MANAGER_TOKEN is not set\n");
    const again = Object.fromEntries(
      text
        .split("\n")
        .filter((line) => /^[A-Z]/.test(line))
        .map((line) => line.split("=", 2) as [string, string]),
    );
    expect(read(again)).toEqual(read(environment));
  });

  it("shows no secret", () => {
    const text = printConfig(
      read({
        MODEL_MANAGER_TOKEN: "s3cr3t",
        HF_TOKEN: "s3cr3t",
        DATABASE_URL: "postgres://user:s3cr3t%40@db/models",
        MODEL_MANAGER_DATABASE_DIRECT_URL: "postgres://db/models?user=u&password=s3cr3t&x=1",
        HTTPS_PROXY: "http://user:s3cr3t@proxy:3128",
        HF_ENDPOINT: "https://s3cr3t@hub.example.com",
      }),
    );
    expect(text).not.toContain("s3cr3t");
    expect(text).toContain("MODEL_MANAGER_TOKEN=(redacted)\n");
    expect(text).toContain("DATABASE_URL=postgres://user:(redacted)@db/models\n");
  });
});
