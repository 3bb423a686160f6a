/** One of those that are compared: does the work once and answers what was measured. */
export interface Contender<Measure> {
  readonly name: string;
  run(): Promise<Measure>;
}

/** What every contender measured, by its name, in the order of the rounds. */
export type Results<Measure> = ReadonlyMap<string, readonly Measure[]>;

/** Runs every contender once in each round, beginning each round with another one; `settle` runs before every run. */
export async function interleave<Measure>(
  contenders: readonly Contender<Measure>[],
  rounds: number,
  settle: () => Promise<void>,
): Promise<Results<Measure>> {
  const results = new Map<string, Measure[]>(contenders.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round += 1) {
    const first = round % contenders.length;
    for (const { name, run } of [...contenders.slice(first), ...contenders.slice(0, first)]) {
      await settle();
      results.get(name)?.push(await run());
    }
  }
  return results;
}

/** The middle one of some numbers, or the mean of the two in the middle. */
export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.slice(Math.ceil(sorted.length / 2) - 1, Math.floor(sorted.length / 2) + 1);
  return middle.reduce((sum, number) => sum + number, 0) / middle.length;
}
