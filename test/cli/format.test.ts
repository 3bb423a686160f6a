import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { AssignmentSchema, AssignmentState, AssignmentTarget } from "../../gen/modelmanager/v1/assignment_pb.ts";
import {
  DownloadProgressSchema,
  DownloadSchema,
  DownloadState,
  DownloadStateSchema,
  FileProgressSchema,
} from "../../gen/modelmanager/v1/download_pb.ts";
import { ErrorReason } from "../../gen/modelmanager/v1/error_reason_pb.ts";
import { ModelSchema, ModelStatus, ModelType } from "../../gen/modelmanager/v1/model_pb.ts";
import { VersionSchema } from "../../gen/modelmanager/v1/version_pb.ts";
import { WorkerSchema, WorkerStatus } from "../../gen/modelmanager/v1/worker_pb.ts";
import { formatDownloads } from "../../src/cli/format/download.ts";
import { formatModel, formatModels } from "../../src/cli/format/model.ts";
import { formatBar, formatFile, formatPercent, formatTotal } from "../../src/cli/format/progress.ts";
import { formatDetails, formatTable } from "../../src/cli/format/table.ts";
import { ago, enumName } from "../../src/cli/format/values.ts";
import { formatWorker, formatWorkers } from "../../src/cli/format/worker.ts";
import { formatHealth } from "../../src/cli/health.ts";
import { createLines } from "../../src/cli/progress-views.ts";

const NOW = new Date("2026-03-01T12:00:00Z");
const past = (seconds: number) => timestampFromDate(new Date(NOW.getTime() - seconds * 1000));

describe("tables", () => {
  it("are as wide as their widest texts, and empty texts are shown", () => {
    const columns = [
      { heading: "NAME", text: (row: string[]) => row[0] ?? "" },
      { heading: "SIZE", align: "right" as const, text: (row: string[]) => row[1] ?? "" },
    ];
    expect(
      formatTable(columns, [
        ["a", "10"],
        ["longer", ""],
      ]),
    ).toBe("NAME    SIZE\na         10\nlonger     -\n");
  });

  it("let nothing reach the terminal that is no text", () => {
    expect(
      formatDetails([
        ["name", "a\u001b[2Jb\nc"],
        ["empty", ""],
      ]),
    ).toBe("  name  a\ufffd[2Jb\ufffdc\n");
  });
});

describe("values", () => {
  it("are shown as people say them", () => {
    expect(ago(past(0), NOW)).toBe("just now");
    expect(ago(past(5), NOW)).toBe("5s ago");
    expect(ago(past(3 * 3600 + 300), NOW)).toBe("3h05m ago");
    expect(ago(undefined, NOW)).toBe("");
    expect(enumName(DownloadStateSchema, DownloadState.QUEUED)).toBe("QUEUED");
    expect(enumName(DownloadStateSchema, 0)).toBe("");
    expect(enumName(DownloadStateSchema, 99)).toBe("99");
  });
});

describe("models", () => {
  const model = create(ModelSchema, {
    id: "llama3",
    type: ModelType.LLM,
    status: ModelStatus.AVAILABLE,
    latestVersion: 2,
    versionCount: 2,
    aliases: [{ alias: "production", version: 1 }],
    labels: { team: "search", area: "a" },
    source: {
      kind: { case: "http", value: { files: [{ url: "https://x/a.gguf?sig=secret" }, { url: "https://x/b" }] } },
    },
    updateTime: past(60),
  });

  it("are listed", () => {
    expect(formatModels([model], NOW)).toBe(
      "MODEL   TYPE  STATUS     LATEST  ALIASES       SOURCE                       UPDATED\n" +
        "llama3  LLM   AVAILABLE       2  production=1  https://x/a.gguf and 1 more  1m00s ago\n",
    );
  });

  it("are shown with the files of a version", () => {
    const version = create(VersionSchema, {
      version: 2,
      manifestDigest: "sha256:abc",
      totalBytes: 1536n,
      fileCount: 1,
      files: [{ path: "config.json", size: 1536n, digest: "sha256:def" }],
      metadata: {
        format: "gguf",
        parameterCount: 494_032_768n,
        contextLength: 32_768,
        baseModels: ["org/a", "org/b"],
        hasTokenizer: true,
        hasChatTemplate: true,
        unsafeFiles: ["x.bin"],
        error: "y.gguf: is no GGUF file",
      },
    });
    const text = formatModel(model, version, NOW);
    expect(text).toMatch(/ parameters +494M\n +context +32768 tokens\n +made from +org\/a, org\/b\n/);
    expect(text).toMatch(
      / brings +a tokenizer, a chat template\n +unsafe files +x.bin\n +unreadable +y.gguf: is no GGUF/,
    );
    expect(text).toContain("labels    area=a, team=search\n");
    expect(text).toContain("1.5 KiB in 1 file\n");
    expect(text).toMatch(/version 2\n {2}digest +sha256:abc\n/);
    expect(text.endsWith("FILE            SIZE  DIGEST\nconfig.json  1.5 KiB  sha256:def\n")).toBe(true);
    expect(text).not.toContain("license");
    expect(formatModel(model, undefined, NOW)).toContain("no version yet");
  });
});

describe("progress", () => {
  const half = { completedBytes: 512n, totalBytes: 1024n };

  it("is a bar and a share", () => {
    expect(formatBar(half, 10)).toBe("[#####-----]");
    expect(formatBar({ completedBytes: 0n, totalBytes: 0n }, 4)).toBe("[####]");
    expect(formatBar({ completedBytes: 7n }, 4)).toBe("[----]");
    expect(formatPercent(half)).toBe(" 50%");
    expect(formatPercent({ completedBytes: 1023n, totalBytes: 1024n })).toBe(" 99%");
    expect(formatPercent({ completedBytes: 7n })).toBe("   -");
  });

  it("says what is known, and guesses nothing", () => {
    const known = create(DownloadProgressSchema, {
      ...half,
      completedFiles: 1,
      totalFiles: 3,
      bytesPerSecond: 2048n,
      eta: { seconds: 12n },
      attempt: 2,
    });
    expect(formatTotal(known, 4)).toBe("[##--]  50%  512 B of 1.0 KiB  2.0 KiB/s  ETA 12s  1 of 3 files  attempt 2");
    expect(formatTotal(create(DownloadProgressSchema, { completedBytes: 5n }), 4)).toBe("[----]    -  5 B");
  });

  it("keeps a file on its line", () => {
    const file = create(FileProgressSchema, { path: `${"deep/".repeat(20)}model.safetensors`, ...half });
    const line = formatFile(file, 4, 60);
    expect(line).toHaveLength(60);
    expect(line.endsWith("model.safetensors")).toBe(true);
  });

  it("in plain lines is said at each state and each file, else every two seconds", () => {
    const lines: string[] = [];
    let time = 10_000;
    const view = createLines(
      (line) => lines.push(line),
      () => time,
    );
    const say = (state: DownloadState, completedFiles = 0) =>
      view.update(create(DownloadProgressSchema, { state, completedFiles }), new Map());
    say(DownloadState.QUEUED);
    say(DownloadState.QUEUED);
    say(DownloadState.TRANSFERRING);
    time += 1_999;
    say(DownloadState.TRANSFERRING);
    say(DownloadState.TRANSFERRING, 1);
    time += 2_000;
    say(DownloadState.TRANSFERRING, 1);
    expect(lines).toEqual(["queued", "transferring", "transferring", "transferring"]);
  });

  it("says at once what is waited for, with what can be done where nothing answers", () => {
    const lines: string[] = [];
    const view = createLines(
      (line) => lines.push(line),
      () => 10_000,
    );
    const say = (state: DownloadState, message?: string, metadata = {}) => {
      const waiting = message === undefined ? undefined : { reason: ErrorReason.SOURCE_UNAVAILABLE, message, metadata };
      view.update(create(DownloadProgressSchema, { state, waiting }), new Map());
    };
    say(DownloadState.RESOLVING);
    say(DownloadState.RESOLVING, "the hub refuses", { http_status: "503" });
    say(DownloadState.RESOLVING, "the hub is silent");
    say(DownloadState.RESOLVING, "the hub is silent");
    say(DownloadState.RESOLVING);
    say(DownloadState.RESOLVING, "the hub is silent");
    expect(lines).toEqual([
      "resolving",
      "resolving     waiting: the hub refuses",
      "resolving     waiting: the hub is silent",
      expect.stringMatching(/HTTPS_PROXY.*HF_ENDPOINT.*MODEL_MANAGER_LOCAL_ROOTS/),
      "resolving",
      "resolving     waiting: the hub is silent",
    ]);
  });
});

describe("downloads, workers and health", () => {
  it("are listed", () => {
    const download = create(DownloadSchema, {
      id: "0190",
      modelId: "llama3",
      state: DownloadState.FAILED,
      error: { reason: ErrorReason.SOURCE_FORBIDDEN, message: "the source refuses" },
      createTime: past(60),
    });
    expect(formatDownloads([download], NOW)).toMatch(
      /0190 +llama3 +- +FAILED +- +1m00s ago +SOURCE_FORBIDDEN: the source refuses\n/,
    );
    const waiting = { reason: ErrorReason.DISK_FULL, message: "the disk is too full" };
    const parked = create(DownloadSchema, { id: "0191", state: DownloadState.QUEUED, progress: { waiting } });
    expect(formatDownloads([parked], NOW)).toMatch(/0191 .*QUEUED.* waiting: the disk is too full\n/);
    const worker = create(WorkerSchema, {
      id: "w1",
      status: WorkerStatus.ONLINE,
      cordoned: true,
      load: { utilization: 0.256 },
      capacity: { memoryBytes: 1024n, gpus: [{ index: 0, model: "H100", memoryBytes: 1024n }] },
      assignmentCount: 1,
      lastSeenTime: past(2),
    });
    expect(formatWorkers([worker], NOW)).toMatch(/w1 +ONLINE, cordoned +- +26% +1 +- +2s ago\n/);
    const assignment = create(AssignmentSchema, {
      id: "0191",
      modelId: "llama3",
      version: 2,
      target: AssignmentTarget.SERVING,
      state: AssignmentState.PULLING,
      completedBytes: 512n,
      totalBytes: 1024n,
    });
    const text = formatWorker(worker, [assignment], NOW);
    expect(text).toContain("gpus    0: H100 1.0 KiB\n");
    expect(text).toMatch(/llama3@2 +SERVING +PULLING +512 B of 1.0 KiB +- +- +0191\n/);
    expect(formatWorker(worker, [], NOW)).toContain("no models");
    expect(formatHealth([{ service: "", status: "SERVING" }])).toContain("(all of it)  SERVING\n");
  });
});
