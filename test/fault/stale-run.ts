// The mode `stale`: three hosts whose look-ups race with changes while indexers and invalidators are killed. Its control
// are caches that believe that nothing changes.
import { runStale } from "#test/harness/stale.ts";
import type { Findings } from "./midstream.ts";

const SHOWN = 20;
const FAN_OUT_MS = 250;
/** Look-ups between two deaths, on average. */
const KILL_EVERY = 250;

export async function staleRun(options: {
  readonly seed: number;
  readonly lookups: number;
  readonly control: boolean;
  readonly say: (line: string) => void;
}): Promise<Findings> {
  const { calm, stale, otherEntity, ...figures } = await runStale({
    ...options,
    hosts: 3,
    killEvery: KILL_EVERY,
  });
  const enough = figures.hits * 2 >= figures.lookups;
  const everyStale = [...calm.stale, ...stale];
  const everyOther = [...calm.otherEntity, ...otherEntity];
  return {
    figures: {
      ...figures,
      stale: everyStale.length,
      otherEntity: everyOther.length,
      calmLookups: calm.lookups,
      calmChanges: calm.changes,
      calmFanOutP50Ms: calm.fanOutP50Ms,
      calmFanOutP99Ms: calm.fanOutP99Ms,
      calmCoresBusy: calm.coresBusy,
    },
    broken: [
      ...everyStale.slice(0, SHOWN).map((each) => `stale: ${each}`),
      ...everyOther.slice(0, SHOWN).map((each) => `another topic's answer: ${each}`),
      ...(figures.fanOutP99Ms <= FAN_OUT_MS
        ? []
        : [`a change was everywhere only after ${Math.round(figures.fanOutP99Ms)} ms (p99)`]),
      ...(enough ? [] : ["too few hits to prove anything"]),
      ...(figures.killedIndexers > 0 && figures.killedInvalidators > 0
        ? []
        : ["not both consumers were killed"]),
    ],
  };
}
