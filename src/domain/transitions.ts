import { DomainError } from "./errors.ts";

/** The legal next states of each state of a machine. */
export type Transitions<State extends string> = Readonly<Record<State, readonly State[]>>;

/** Whether a machine may go from one state to another. */
export function mayBecome<State extends string>(table: Transitions<State>, from: State, to: State): boolean {
  return table[from].includes(to);
}

/** STATE_INVALID unless the machine called `what` may go from one state to the other. */
export function assertTransition<State extends string>(
  table: Transitions<State>,
  what: string,
  from: State,
  to: State,
): void {
  if (!mayBecome(table, from, to)) throw new DomainError("STATE_INVALID", `${what} is ${from} and cannot become ${to}`);
}
