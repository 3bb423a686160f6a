import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { Config } from "../config.ts";
import { ConfigError } from "./config-error.ts";
import { openNamedPath } from "./named-path.ts";
import type { VariableName } from "./variables.ts";

/** What the TLS files of a configuration hold, PEM. */
export interface TlsFiles {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly clientCa?: Buffer;
}

/**
 * Reads the files for TLS, and looks whether they are what they should be.
 *
 * @throws ConfigError with the variable and its file if one cannot be read or used, or key and certificate do not belong
 * together.
 */
export async function readTlsFiles({ cert, key, clientCa }: NonNullable<Config["tls"]>): Promise<TlsFiles> {
  const isCertificate = (pem: Buffer) => void new X509Certificate(pem);
  const files: TlsFiles = {
    cert: await readPem("MODEL_MANAGER_TLS_CERT", cert, "certificate", isCertificate),
    key: await readPem("MODEL_MANAGER_TLS_KEY", key, "private key without a passphrase", createPrivateKey),
    ...(clientCa !== undefined && {
      clientCa: await readPem("MODEL_MANAGER_TLS_CLIENT_CA", clientCa, "certificate", isCertificate),
    }),
  };
  if (!new X509Certificate(files.cert).checkPrivateKey(createPrivateKey(files.key))) {
    const rule = `${key}: is not the key of the certificate in ${cert}`;
    throw new ConfigError([{ variable: "MODEL_MANAGER_TLS_KEY", rule }]);
  }
  return files;
}

async function readPem(
  variable: VariableName,
  path: string,
  kind: string,
  check: (pem: Buffer) => unknown,
): Promise<Buffer> {
  const pem = await openNamedPath(variable, path, () => readFile(path));
  try {
    check(pem);
  } catch (cause) {
    throw new ConfigError([{ variable, rule: `${path}: must be a PEM file with a ${kind}` }], { cause });
  }
  return pem;
}
