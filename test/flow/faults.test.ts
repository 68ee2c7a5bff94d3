// The fault runs in small, for every `npm test`: as many kills, freezes and handovers as fit into 40 seconds, on a real
// cluster under load. `npm run test:fault` is the long version. JETCLAW_TEST_SEED repeats a run.
import { randomInt } from "node:crypto";
import { afterEach, expect, test } from "vitest";
import { freezes, handovers, kills, scheduleOf } from "#test/fault/modes.ts";
import { textOf } from "#test/fault/report.ts";
import { FaultRun } from "#test/fault/run.ts";

const seed = Number(process.env.JETCLAW_TEST_SEED ?? randomInt(1, 2 ** 31));
/** A machine five times slower than ours is not to drown in messages: what is tested is that none is lost. */
const CALM = { perSecond: 50, drainMs: 180_000 };
let run: FaultRun | undefined;

afterEach(async () => {
  await run?.close();
});

async function expectNoViolation(started: FaultRun): Promise<void> {
  const outcome = await started.conclude();
  // A failure shows the whole report, with the seed that repeats it.
  expect(outcome.verdict.violations, textOf(outcome)).toEqual([]);
  expect(outcome.figures.turns).toBeGreaterThan(100);
}

test(`kills at every named step, freezes in mid-step and handovers lose, double and reorder nothing (seed ${seed})`, async () => {
  run = await FaultRun.start({ seed, hosts: 3, workers: 2, limitMs: 40_000, ...CALM });
  await kills(run, scheduleOf(run.random.fork("schedule"), 24));
  await freezes(run, 2);
  await handovers(run, 2);
  await expectNoViolation(run);
});

test(`without remembering processed ids such kills are found out (seed ${seed})`, async () => {
  const started = await FaultRun.start({
    ...{ seed, hosts: 2, workers: 1, limitMs: 120_000, ...CALM, perSecond: 10 },
    // A conversation knows the messages of a turn that is open, and turns take long on a slow machine; a tally knows none.
    tallies: 24,
    unsafe: { ignoreRing: true },
  });
  run = started;
  const found = (broken: readonly string[]): boolean => broken.some((what) => / [1-9]\d* doubled/.test(what));
  // What dies there has stored what it was told and not acknowledged it.
  while (!found(await started.judgeTallies()) && !started.timeIsUp)
    await kills(started, [{ point: "host.beforeAck", nth: 1 }]);
  const outcome = await started.conclude();
  expect(found(outcome.tallied.broken), textOf(outcome)).toBe(true);
});
