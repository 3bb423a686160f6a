import type { ServiceOptions } from "./service-options.ts";

/** A command of this program that can be pasted into a shell in its folder, for the same service. */
export function commandHint(command: string, { server }: Pick<ServiceOptions, "server">): string {
  return `npx model-manager ${command}${server === undefined ? "" : ` --server ${server}`}`;
}
