import { readFile, stat } from "node:fs/promises";
import { z } from "zod";
import { DomainError, invalidField } from "../domain/errors.ts";
import type { Logger } from "../domain/logger.ts";
import type { NamedCredential, NamedCredentials } from "../domain/ports/credentials.ts";

export interface CredentialsFileOptions {
  /** The file; absent if the operator has none. */
  readonly path?: string;
  readonly log: Logger;
}

const SECRET = z.string().regex(/^[\x21-\x7e]+$/, "must be visible ASCII characters");
const HOSTS = z.array(z.string().min(1).toLowerCase()).optional();

const CONTENT = z.record(
  z.string(),
  z.union([
    z.strictObject({ token: SECRET, hosts: HOSTS }),
    z
      .strictObject({
        access_key_id: SECRET,
        secret_access_key: SECRET,
        session_token: SECRET.optional(),
        hosts: HOSTS,
      })
      .transform(
        ({ access_key_id: accessKeyId, secret_access_key: secretAccessKey, session_token: sessionToken, hosts }) => ({
          accessKey: { accessKeyId, secretAccessKey, sessionToken },
          hosts,
        }),
      ),
  ]),
);

type Content = ReadonlyMap<string, NamedCredential>;

/**
 * Reads named credentials from a JSON file `{"<name>": {"token": "…", "hosts": ["example.com", …]}}`, for S3 with
 * `access_key_id`, `secret_access_key` and perhaps `session_token` in place of the token; again whenever the file changes. Neither messages nor the log show anything of what it holds but names.
 */
export function createCredentialsFile({ path, log }: CredentialsFileOptions): NamedCredentials {
  let version = "";
  let content: Promise<Content> | undefined;

  async function load(file: string): Promise<Content> {
    const { ino, size, mtimeNs } = await stat(file, { bigint: true }).catch((cause: unknown) => {
      throw unusable("it cannot be read", cause);
    });
    const current = `${ino}:${size}:${mtimeNs}`;
    if (content === undefined || current !== version) {
      version = current;
      content = read(file);
      content.catch((error: unknown) => log.error("The credentials file cannot be used", { error }));
    }
    return content;
  }

  return {
    async find(field, name) {
      if (path === undefined) {
        throw invalidField(field, "must be empty: no credentials are configured (MODEL_MANAGER_CREDENTIALS)");
      }
      const credential = (await load(path)).get(name);
      if (credential === undefined) throw invalidField(field, "must be the name of a configured credential");
      return credential;
    },
  };
}

async function read(file: string): Promise<Content> {
  const text = await readFile(file, "utf8").catch((cause: unknown) => {
    throw unusable("it cannot be read", cause);
  });
  const result = CONTENT.safeParse(parseJson(text));
  if (!result.success) {
    const [issue] = result.error.issues;
    // Only the first step of the path is a name that may be shown; zod's own words could quote a value.
    throw unusable(
      `'${String(issue?.path[0] ?? "")}' must be an object with a 'token', or an 'access_key_id' and a 'secret_access_key', and perhaps 'hosts'`,
    );
  }
  return new Map(Object.entries(result.data));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The parser's error quotes what stands around the fault: possibly a token.
    throw unusable("it is not valid JSON");
  }
}

function unusable(problem: string, cause?: unknown): DomainError {
  return new DomainError("STATE_INVALID", `the manager's file of credentials cannot be used: ${problem}`, { cause });
}
