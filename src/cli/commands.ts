import type { Command } from "commander";

/** Adds a command to a program or a group: its name, a few words for the list of commands, and a sentence for its own help. */
export function addCommand(parent: Command, name: string, summary: string, description: string): Command {
  return parent.command(name).summary(summary).description(description);
}

/** Adds a group's `list`, which also runs if no command of it is named; `example` is a filter. */
export function addListCommand(group: Command, description: string, example: string): Command {
  return group
    .command("list", { isDefault: true })
    .summary(`list ${group.name()} (the default)`)
    .description(description)
    .option("--filter <expression>", `such as: ${example}`);
}
