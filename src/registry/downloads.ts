import { createHash } from "node:crypto";
import { and, eq, sql } from "drizzle-orm";
import { validate as isUuid, v7 as uuidv7 } from "uuid";
import type { Download } from "../domain/download.ts";
import type { ListRequest, Page } from "../domain/page.ts";
import type { DownloadJobs } from "../domain/ports/download-jobs.ts";
import type { StartDownload } from "../domain/ports/downloads.ts";
import { Admissions } from "./admissions.ts";
import { reuse } from "./blobs.ts";
import { settleModel } from "./change-model.ts";
import type { Database } from "./database.ts";
import { cancel, pause, resume, update } from "./download-control.ts";
import { advance, claim, fail, release, renew } from "./download-leases.ts";
import { readProgress, saveProgress } from "./download-progress.ts";
import { downloadFields, downloadNotFound, isLive, readDownload, toDownload } from "./download-rows.ts";
import { filesAt } from "./files-at.ts";
import { compileFilter, type FilterColumns } from "./filter-sql.ts";
import { lockModel } from "./model-rows.ts";
import { readPage } from "./pages.ts";
import { publish } from "./publish.ts";
import { downloads } from "./schema/downloads.ts";
import { noteUnpacked, reuseUnpacked } from "./unpacked.ts";

const FILTER_COLUMNS: FilterColumns = {
  model_id: { type: "id", column: downloads.modelId },
  state: { type: "value", column: downloads.state },
  create_time: { type: "time", column: downloads.createTime },
  update_time: { type: "time", column: downloads.updateTime },
};

const NO_COUNTERS = {
  completedBytes: 0,
  sourceBytes: 0,
  peerBytes: 0,
  reusedBytes: 0,
  completedFiles: 0,
  bytesPerSecond: 0,
};

/** The downloads of a database. */
export function createDownloadJobs(database: Database): DownloadJobs {
  const getDownload = database.queries
    .select(downloadFields)
    .from(downloads)
    .where(eq(downloads.id, sql.placeholder("id")))
    .prepare("get_download");
  const admissions = new Admissions(database);
  return {
    start: (request) => start(database, request),
    async get(downloadId) {
      if (!isUuid(downloadId)) throw downloadNotFound(downloadId);
      const [row] = await database.read(() => getDownload.execute({ id: downloadId }));
      if (row === undefined) throw downloadNotFound(downloadId);
      return toDownload(row, row.kept);
    },
    list: (request) => list(database, request),
    update: (downloadId, changes) => update(database, downloadId, changes),
    pause: (downloadId) => pause(database, downloadId),
    resume: (downloadId) => resume(database, downloadId),
    cancel: (downloadId) => cancel(database, downloadId),
    claim: (owner, limit, leaseMs, among) => claim(database, owner, limit, leaseMs, among),
    renew: (leases, leaseMs) => renew(database, leases, leaseMs),
    advance: (lease, state, facts) => advance(database, lease, state, facts),
    release: (lease, progress, parking) => release(database, lease, progress, parking),
    fail: (lease, failure, progress) => fail(database, lease, failure, progress),
    publish: (lease, publication) => publish(database, lease, publication),
    filesAt: (modelId, paths) => filesAt(database, modelId, paths),
    reuse: (lease, digests) => reuse(database, lease, digests),
    reuseUnpacked: (lease, archive) => reuseUnpacked(database, lease, archive),
    noteUnpacked: (lease, archive, files) => noteUnpacked(database, lease, archive, files),
    admit: (lease, digest, size, place) => admissions.admit(lease, { digest, size, place }),
    saveProgress: (entries) => saveProgress(database, entries),
    readProgress: (downloadIds) => readProgress(database, downloadIds),
  };
}

/** What two live downloads of one model must not share. The order of patterns means nothing. */
function identityOf({ revision, allowPatterns, ignorePatterns, repairs }: StartDownload): string {
  const sorted = (patterns: readonly string[]) => [...new Set(patterns)].sort();
  return createHash("sha256")
    .update(JSON.stringify([revision, sorted(allowPatterns), sorted(ignorePatterns), repairs]))
    .digest("hex");
}

async function start(database: Database, request: StartDownload): Promise<{ download: Download; created: boolean }> {
  const identity = identityOf(request);
  return await database.transact(async (tx, changes) => {
    const model = await lockModel(tx, request.modelId);
    const [running] = await tx
      .select(downloadFields)
      .from(downloads)
      .where(and(eq(downloads.modelId, model.id), eq(downloads.identity, identity), isLive));
    if (running !== undefined) return { download: toDownload(running, running.kept), created: false };
    const id = uuidv7();
    await tx.insert(downloads).values({
      id,
      modelId: model.id,
      identity,
      revision: request.revision,
      repairsVersion: request.repairs,
      allowPatterns: request.allowPatterns,
      ignorePatterns: request.ignorePatterns,
      credential: request.credential && "name" in request.credential ? request.credential.name : "",
      withToken: request.credential !== undefined && "token" in request.credential,
      state: "QUEUED",
      priority: request.priority,
      rateLimit: request.rateLimit,
      counters: NO_COUNTERS,
    });
    const download = await readDownload(tx, id);
    changes.add("CREATED", "download", download);
    await settleModel(tx, changes, model, "REGISTERED");
    return { download, created: true };
  });
}

async function list(database: Database, request: ListRequest): Promise<Page<Download>> {
  const matches = compileFilter(request.filter, FILTER_COLUMNS);
  const page = await readPage(database, request, {
    identity: ["downloads", request.filter ?? null],
    keyset: { columns: [downloads.createTime, downloads.id], descending: true },
    rows: (executor, { after, order, limit }) =>
      executor.select(downloadFields).from(downloads).where(and(matches, after)).orderBy(order).limit(limit),
    keyOf: (row) => [row.createTime, row.id],
    count: async (executor) => ({ totalSize: await executor.$count(downloads, matches) }),
  });
  return { ...page, items: page.items.map((row) => toDownload(row, row.kept)) };
}
