import type { Command } from "commander";
import { CliError } from "./cli-error.ts";
import { EXIT } from "./exit-codes.ts";
import type { SourceArgument } from "./source-argument.ts";

/** What is said of a source beside its address. */
export interface SourceOptions {
  readonly endpoint?: string;
  readonly region?: string;
  readonly credential?: string;
}

/** Adds the options of {@link SourceOptions} to a command. */
export function withSourceOptions(command: Command): Command {
  return command
    .option("--endpoint <url>", "the server of an s3: or hf: source, if it is not the manager's own choice")
    .option("--region <region>", "the region of an s3: source's bucket")
    .option("--credential <name>", "the name of a credential that the operator configured; the model remembers it");
}

/**
 * A source with what is said of it beside its address.
 *
 * @throws CliError for what its kind does not have.
 */
export function applySourceOptions(argument: SourceArgument, options: SourceOptions): SourceArgument {
  const { kind } = argument.source;
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  if (given.length === 0 || kind === undefined || kind.case === undefined) return argument;
  const known: readonly string[] = KNOWN[kind.case] ?? [];
  for (const [name] of given) {
    if (known.includes(name)) continue;
    throw new CliError(EXIT.usage, `--${name}: not for this kind of source`, {
      hint: `it is for sources of the kind ${kindsWith(name).join(", ")}`,
    });
  }
  const value = { ...kind.value, ...Object.fromEntries(given) };
  return { ...argument, source: { kind: { case: kind.case, value } } as SourceArgument["source"] };
}

/** What each kind of source has. */
const KNOWN: Readonly<Record<string, readonly (keyof SourceOptions)[]>> = {
  huggingface: ["endpoint", "credential"],
  http: ["credential"],
  oci: ["credential"],
  s3: ["endpoint", "region", "credential"],
};

function kindsWith(name: string): string[] {
  return Object.entries(KNOWN)
    .filter(([, names]) => (names as readonly string[]).includes(name))
    .map(([kind]) => kind);
}
