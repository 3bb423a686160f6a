import { z } from "zod";
import { DomainError } from "../../domain/errors.ts";
import type { SourceCard } from "../../domain/model.ts";
import { SourceUnavailable } from "../../domain/ports/sources.ts";
import { storableText } from "../../lib/storable-text.ts";
import { MAX_FILES } from "../files.ts";
import { networkFailure } from "../outgoing/failures.ts";
import { discard, type HttpAnswer, type HttpClient } from "../outgoing/http-client.ts";
import { hubFailure } from "./hub-failure.ts";

/** A repository of models on a hub, and what it is asked with. */
export interface HubRepository {
  /** Without a slash at its end. */
  readonly endpoint: string;
  readonly repo: string;
  readonly token?: string;
}

/** A repository at one commit. */
export interface HubSnapshot {
  /** 40 hex digits. */
  readonly commit: string;
  /** Of the model card; empty if it names none. */
  readonly license: string;
  /** Never without `gated`. */
  readonly card: SourceCard & { readonly gated: boolean };
}

/** A file of a commit as its tree lists it. */
export type HubFile = z.infer<typeof FILE>;

/** More than any page of a tree takes. */
const MAX_BODY_BYTES = 32 << 20;
const MAX_PAGES = 1000;

const MAX_TAGS = 128;
const MAX_BASE_MODELS = 32;
const MAX_TEXT = 256;

/** Written by people: what is not as it should be is as good as absent. */
const CARD = z.object({
  license_name: z.string().optional().catch(undefined),
  base_model: z
    .union([z.string().transform((model) => [model]), z.array(z.string())])
    .optional()
    .catch(undefined),
});

const SNAPSHOT = z.object({
  sha: z.string().regex(/^[0-9a-f]{40}$/),
  tags: z.array(z.string()).default([]),
  cardData: CARD.optional().catch(undefined),
  gated: z.union([z.boolean(), z.string()]).default(false),
});

const FILE = z.object({
  path: z.string().min(1),
  size: z.int().nonnegative(),
  /** Git's hash of the blob; of an LFS file that is its pointer. */
  oid: z.string().regex(/^[0-9a-f]{40}$/),
  lfs: z.object({ oid: z.string().regex(/^[0-9a-f]{64}$/), size: z.int().nonnegative() }).optional(),
});

/** Loaded with the first hub that is asked: it is large, and many services never need it. */
const loadLibrary = () => import("@huggingface/hub");

/** Asks a hub what a revision is now. SOURCE_NOT_FOUND, SOURCE_REVISION_NOT_FOUND, SOURCE_FORBIDDEN. */
export async function readSnapshot(
  client: HttpClient,
  repository: HubRepository,
  revision: string,
  signal: AbortSignal,
): Promise<HubSnapshot> {
  const { modelInfo } = await loadLibrary();
  const info = await asked(repository, signal, () =>
    modelInfo({
      name: repository.repo,
      hubUrl: repository.endpoint,
      revision,
      additionalFields: ["sha", "tags", "cardData"],
      fetch: hubFetch(client, repository, revision, signal),
    }),
  );
  const { sha, tags, gated, cardData } = understood(SNAPSHOT, info, repository);
  const card = {
    gated: gated !== false,
    tags: kept(tags, MAX_TAGS),
    baseModels: kept(cardData?.base_model ?? [], MAX_BASE_MODELS),
  };
  return { commit: sha, license: licenseOf(tags, cardData?.license_name), card };
}

/** One that is none of the usual ones goes by a name of its own. */
function licenseOf(tags: readonly string[], name = ""): string {
  const license = tags.find((tag) => tag.startsWith("license:"))?.slice("license:".length) ?? "";
  return storableText(((license === "other" && name) || license).slice(0, MAX_TEXT));
}

function kept(texts: readonly string[], most: number): string[] {
  return texts.slice(0, most).map((text) => storableText(text.slice(0, MAX_TEXT)));
}

/** Lists all files of a commit, page after page. */
export async function listTree(
  client: HttpClient,
  repository: HubRepository,
  commit: string,
  signal: AbortSignal,
): Promise<HubFile[]> {
  const { listFiles } = await loadLibrary();
  const files: HubFile[] = [];
  await asked(repository, signal, async () => {
    const entries = listFiles({
      repo: { type: "model", name: repository.repo },
      hubUrl: repository.endpoint,
      revision: commit,
      recursive: true,
      fetch: hubFetch(client, repository, commit, signal),
    });
    for await (const entry of entries) {
      if (entry.type !== "file") continue;
      files.push(understood(FILE, entry, repository));
      if (files.length > MAX_FILES) throw misunderstood(repository, `lists more than ${MAX_FILES} files`);
    }
  });
  return files;
}

/**
 * What the library asks the hub through: our client with its policy and its limits. The token is added here, since the
 * library accepts those of the public hub only, and goes to the hub's own origin alone, whatever the next page's address is.
 */
function hubFetch(client: HttpClient, repository: HubRepository, revision: string, signal: AbortSignal): typeof fetch {
  const origin = new URL(repository.endpoint).origin;
  let pages = 0;
  return async (input) => {
    if (++pages > MAX_PAGES) throw misunderstood(repository, "never comes to an end of its list");
    const url = new URL(input instanceof Request ? input.url : input);
    const answer = await client.send({
      url,
      token: url.origin === origin ? repository.token : undefined,
      headers: { accept: "application/json" },
      signal,
    });
    if (answer.status !== 200) {
      discard(answer.body);
      throw hubFailure(answer, repository, { revision });
    }
    const link = answer.headers.link;
    return new Response(await readBody(answer, repository), { headers: link === undefined ? {} : { link } });
  };
}

async function readBody({ body }: HttpAnswer, repository: HubRepository): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) throw misunderstood(repository, "answers with more than a page");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function asked<Result>(
  repository: HubRepository,
  signal: AbortSignal,
  ask: () => Promise<Result>,
): Promise<Result> {
  try {
    return await ask();
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof SyntaxError || error instanceof TypeError) throw misunderstood(repository, NOT_A_HUB, error);
    throw networkFailure(error, `the hub ${new URL(repository.endpoint).host}`);
  }
}

function understood<Schema extends z.ZodType>(
  schema: Schema,
  answer: unknown,
  repository: HubRepository,
): z.infer<Schema> {
  const result = schema.safeParse(answer);
  if (result.success) return result.data;
  throw misunderstood(repository, NOT_A_HUB, result.error);
}

const NOT_A_HUB = "does not answer as a Hugging Face hub does";

/** Not a {@link SourceUnavailable}: asked again, it would answer the same. */
function misunderstood({ endpoint }: HubRepository, what: string, cause?: unknown): DomainError {
  return new DomainError("SOURCE_UNAVAILABLE", `the hub ${new URL(endpoint).host} ${what}`, { cause });
}
