import { type Digest, digestOfHex } from "../../domain/digest.ts";
import { DomainError, isDomainError, type Reason } from "../../domain/errors.ts";
import type { Logger } from "../../domain/logger.ts";
import { SourceUnavailable } from "../../domain/ports/sources.ts";
import { Crew, type CrewTools, ObjectChanged, StreamOnly } from "./crew.ts";
import { canContinueFrom, feedFrom } from "./feed.ts";
import type { Lane } from "./lane/lane.ts";
import { mismatch } from "./mismatch.ts";
import { type Candidate, HELP_BYTES, OriginChoice, type OriginChoiceTools } from "./origin-choice.ts";
import { Part } from "./part.ts";
import { isChecked } from "./parts/content-key.ts";
import { type PartSource, preparePart } from "./parts/open-part.ts";
import { removePart } from "./parts/part-files.ts";
import type { TransferRequest, TransferredFile } from "./transfer.ts";

/** What transfers of one process share. */
export interface TransferTools extends PartSource, CrewTools, OriginChoiceTools {
  /** The lane with the fewest files. */
  readonly lane: () => Lane;
  readonly log: Logger;
  /** So many failures in a row end the transfer of a file of which nothing came; {@link PATIENCE} times as many, if bytes did. */
  readonly maxFailures: number;
}

/** Who brought bytes once is worth waiting for: with the default waits, some seven minutes of outage. */
const PATIENCE = 3;
/** What does not match may have been an accident on the way, so often; with mirrors, once more for each. */
const MISMATCHES_FORGIVEN = 2;
/** An object that changes so often is read in one stream, which cannot be of two objects. */
const CHANGES_BORNE = 2;

/** A file that is begun anew so often, and once more for each of its origins, will not come. */
const MOST_RESTARTS = 7;

/** After these, an origin need not be asked again; so too an unavailable one for which a retry cannot help. */
const REFUSALS: readonly Reason[] = [
  "SOURCE_UNAVAILABLE",
  "SOURCE_FORBIDDEN",
  "SOURCE_NOT_FOUND",
  "SOURCE_REVISION_NOT_FOUND",
  "SOURCE_FILE_NOT_FOUND",
  "ADDRESS_NOT_ALLOWED",
  "PATH_NOT_ALLOWED",
];

/** See {@link Transfer.transferFile}. */
export async function transferFile(tools: TransferTools, request: TransferRequest): Promise<TransferredFile> {
  const { file } = request;
  if (file.gitBlobSha1 !== undefined && file.size === undefined) {
    throw mismatch(
      file.path,
      file.origins[0]?.host ?? "",
      "the source names a git blob without its size, so that it cannot be checked",
    );
  }
  const prepared = await preparePart(tools, request);
  const { stallMs, open } = tools;
  const part = await Part.open({ lane: tools.lane(), prepared, request, stallMs, open });
  try {
    const digest = await new FileTransfer(tools, part, request).run();
    await part.seal();
    const { name } = part;
    // What cannot be taken away now is swept later: the file is in the store all the same.
    return { digest, size: part.length, path: name.dataPath, forget: () => removePart(name).catch(() => {}) };
  } catch (error) {
    await (isWrong(part, request, error) ? part.discard() : part.keep());
    throw error;
  }
}

/**
 * Whether the bytes at hand are of no use to anyone: all are here and do not match, or they cannot be checked and the
 * source says that the file is another one now. Else it was the last answer that was wrong, and what is here stays.
 */
function isWrong(part: Part, { file, signal }: TransferRequest, error: unknown): boolean {
  if (!isDomainError(error, "CONTENT_MISMATCH") || signal.aborted) return false;
  return part.isWhole || !isChecked(file);
}

/** One file on its way, through failures of its origins. */
class FileTransfer {
  readonly #tools: TransferTools;
  readonly #part: Part;
  readonly #request: TransferRequest;
  readonly #origins: OriginChoice;
  #farthest: number;
  #failures = 0;
  #lastFailure: unknown;
  #mismatches = 0;
  /** What the whole files were that did not match, each with who gave it. */
  readonly #wrong = new Set<string>();
  #changes = 0;
  /** Who brought bytes since the file was empty. */
  readonly #givers = new Set<Candidate>();
  /** Whether one origin at a time is tried, since somebody lied. */
  #alone = false;

  constructor(tools: TransferTools, part: Part, request: TransferRequest) {
    this.#tools = tools;
    this.#part = part;
    this.#request = request;
    this.#origins = new OriginChoice(request.file.origins, tools);
    this.#farthest = part.length;
  }

  async run(): Promise<Digest> {
    const { signal } = this.#request;
    const part = this.#part;
    for (;;) {
      signal.throwIfAborted();
      part.throwFailure();
      // Outside of what is caught below: when all have refused, that is the end, and so it is if nothing lasts.
      this.#assertLasting();
      const chosen = part.isWhole ? undefined : await this.#origins.next(this.#bound(), signal);
      try {
        if (chosen !== undefined) await this.#bring(chosen);
        if (part.isWhole || part.from.size === undefined) return await this.#verify();
      } catch (error) {
        signal.throwIfAborted();
        part.throwFailure();
        await this.#bear(error, chosen);
      }
    }
  }

  /** Brings bytes from an origin, and from others beside it if they can be joined. */
  async #bring(lead: Candidate): Promise<void> {
    const { budget, stallMs } = this.#tools;
    const { file, signal } = this.#request;
    const part = this.#part;
    if (part.length > 0 && !canContinueFrom(part, this.#request, lead.key)) await this.#startOver();
    this.#givers.add(lead);
    if (lead.streamed || file.size === undefined) {
      const release = await budget.acquire(lead.origin.host, signal);
      try {
        await feedFrom(part, lead, this.#request, stallMs);
        this.#origins.helped(lead);
      } finally {
        release();
      }
      return;
    }
    const crew = new Crew(
      this.#tools,
      {
        part,
        origins: this.#origins,
        request: this.#request,
        alone: this.#alone,
        joined: (candidate) => this.#givers.add(candidate),
        failed: (candidate, error) => this.#note(candidate, error),
      },
      lead,
    );
    await crew.run();
    if (!part.isWhole && this.#isHopeless) throw this.#lastFailure;
  }

  get #isHopeless(): boolean {
    return this.#failures >= this.#tools.maxFailures * (this.#part.length > 0 ? PATIENCE : 1);
  }

  /** Goes on after what can be borne, and raises the rest. */
  async #bear(error: unknown, asked: Candidate | undefined): Promise<void> {
    const { log } = this.#tools;
    const { file } = this.#request;
    if (error instanceof StreamOnly) log.info("origin is read as one stream", { path: file.path, error });
    else if (error instanceof ObjectChanged) {
      this.#changes += 1;
      this.#lastFailure = undefined;
      if (this.#changes > CHANGES_BORNE && asked !== undefined) asked.streamed = true;
      log.info("object changed in the middle", { path: file.path, error });
      await this.#startOver();
    } else if (isDomainError(error, "CONTENT_MISMATCH")) await this.#distrust(error, asked);
    else if (error === this.#lastFailure || !(error instanceof DomainError) || asked === undefined) throw error;
    else {
      this.#note(asked, error);
      if (this.#isHopeless) throw error;
    }
  }

  /** Bytes do not match: whoever alone brought them is asked after all others. */
  async #distrust(error: DomainError, asked: Candidate | undefined): Promise<void> {
    this.#mismatches += 1;
    if (this.#mismatches > MISMATCHES_FORGIVEN + this.#request.file.origins.length - 1) throw error;
    const part = this.#part;
    const suspects = part.isWhole ? [...this.#givers] : asked === undefined ? [] : [asked];
    // A fault on the way does not falsify twice alike: these are the bytes that they have.
    if (this.#isSameAgain(error, suspects) && this.#request.file.origins.length === 1) throw error;
    if (suspects.length === 1) for (const suspect of suspects) suspect.distrusted += 1;
    this.#alone = true;
    this.#tools.log.warn("bytes do not match", {
      path: this.#request.file.path,
      from: suspects.map(({ key }) => key),
      error,
    });
    if (isWrong(part, this.#request, error)) await this.#startOver();
  }

  #isSameAgain({ metadata }: DomainError, suspects: readonly Candidate[]): boolean {
    const outcome = `${metadata.got} ${suspects.map(({ key }) => key).join(" ")}`;
    const known = this.#wrong.has(outcome);
    if (metadata.got !== undefined) this.#wrong.add(outcome);
    return known;
  }

  /** Remembers what an origin failed with. */
  #note(candidate: Candidate, error: DomainError): void {
    const { log } = this.#tools;
    const { file, observer } = this.#request;
    const about = { path: file.path, origin: candidate.key, at: this.#part.length, error };
    // Fewer bytes than before mean that the file was begun anew.
    this.#farthest = Math.min(this.#farthest, this.#part.length);
    const help = Math.min(HELP_BYTES, ((this.#part.from.size ?? Number.POSITIVE_INFINITY) - this.#farthest) / 2);
    if (this.#part.length > this.#farthest && this.#part.length >= this.#farthest + help) {
      this.#farthest = this.#part.length;
      this.#failures = 0;
      this.#origins.helped(candidate);
    }
    if (error instanceof SourceUnavailable) {
      const isNew = this.#origins.failed(candidate, error);
      if (isNew) this.#failures += 1;
      this.#lastFailure = error;
      observer.waiting(error);
      // One outage ends many connections, and is told once.
      log[isNew ? "info" : "debug"]("transfer interrupted", { ...about, failures: this.#failures });
    } else if (REFUSALS.includes(error.reason)) {
      candidate.refusal = error;
      log.info("origin refused a file", about);
    } else throw error;
  }

  /** For a file that was begun anew too often: what made that needed, or CONTENT_MISMATCH. */
  #assertLasting(): void {
    const { path, origins } = this.#request.file;
    if (this.#part.restarts < MOST_RESTARTS + origins.length) return;
    if (this.#lastFailure !== undefined) throw this.#lastFailure;
    throw mismatch(path, origins[0]?.host ?? "", "the source has another object again and again");
  }

  async #startOver(): Promise<void> {
    this.#givers.clear();
    await this.#part.startOver();
  }

  /** The only origin that can go on with what the part holds; undefined if any can, or if there is nothing to go on with. */
  #bound(): string | undefined {
    const { origin } = this.#part.from;
    if (this.#part.length === 0 || origin === undefined) return undefined;
    const { file } = this.#request;
    return !isChecked(file) && canContinueFrom(this.#part, this.#request, origin) ? origin : undefined;
  }

  async #verify(): Promise<Digest> {
    const { file, observer } = this.#request;
    observer.verifying();
    const { digests } = await this.#part.complete();
    const digest = digestOfHex(digests.sha256);
    if (file.digest !== undefined && digest !== file.digest) throw this.#wrongDigest(file.digest, digest);
    if (file.gitBlobSha1 !== undefined && digests.gitBlobSha1 !== file.gitBlobSha1) {
      throw this.#wrongDigest(`git blob ${file.gitBlobSha1}`, `git blob ${digests.gitBlobSha1}`);
    }
    return digest;
  }

  #wrongDigest(expected: string, got: string): DomainError {
    const { path, origins } = this.#request.file;
    // Of bytes that an earlier transfer brought it is not known any more who gave them.
    const givers = this.#givers.size > 0 ? [...this.#givers].map(({ origin }) => origin) : origins;
    const from = [...new Set(givers.map(({ host }) => host))].join("' and '");
    return mismatch(path, from, `the bytes do not match their digest: expected ${expected}, got ${got}`, {
      expected,
      got,
    });
  }
}
