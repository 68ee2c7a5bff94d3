// The mode `stale`: three hosts whose look-ups race with changes while invalidators are killed.
import { runStale } from "#test/harness/stale.ts";
import type { Findings } from "./midstream.ts";

const SHOWN = 20;

export async function staleRun(options: {
  readonly seed: number;
  readonly lookups: number;
  readonly say: (line: string) => void;
}): Promise<Findings> {
  const { stale, ...figures } = await runStale({ ...options, hosts: 3, killEvery: 250 });
  const enough = figures.hits * 2 >= figures.lookups;
  return {
    figures: { ...figures, stale: stale.length },
    broken: [
      ...stale.slice(0, SHOWN).map((each) => `stale: ${each}`),
      ...(enough ? [] : ["too few hits to prove anything"]),
    ],
  };
}
