import { Command } from "commander";
import { packageVersion } from "../lib/package-version.ts";
import { addDownloads } from "./downloads.ts";
import { addDu } from "./du.ts";
import { addExport } from "./export.ts";
import { addGc } from "./gc.ts";
import { addHealth } from "./health.ts";
import { addImport } from "./import.ts";
import { addImportBundle } from "./import-bundle.ts";
import { addLs } from "./ls.ts";
import { addPull } from "./pull.ts";
import { addRm } from "./rm.ts";
import { addServe } from "./serve.ts";
import { addShow } from "./show.ts";
import { addStore } from "./store.ts";
import { addWorkers } from "./workers.ts";

const EXIT_CODES = `
Exit codes:
  0  it worked (health: SERVING)
  1  it did not work
  2  the command line, the configuration or a value in it breaks a rule
  3  there is no such thing
  4  the service cannot be reached
  130  interrupted by Ctrl-C
`;

/** The command line. Each command is declared in a file of its own, and loads what is heavy when it runs. */
export function createProgram(): Command {
  const program = new Command("model-manager")
    .description("Knows which models exist, gets their files, keeps them safe, and knows which worker holds which.")
    .version(packageVersion())
    .showHelpAfterError("(see --help)")
    .addHelpText("after", EXIT_CODES)
    .exitOverride();
  for (const add of [
    addServe,
    addPull,
    addLs,
    addShow,
    addRm,
    addDownloads,
    addWorkers,
    addDu,
    addGc,
    addStore,
    addImport,
    addExport,
    addImportBundle,
    addHealth,
  ])
    add(program);
  return program;
}
