// An attempt ends while its result can still reach the conversation, whatever its model does. The clock is played.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type AttemptParts, runAttempt } from "#actors/inference/attempt.ts";
import { ModelPool } from "#actors/inference/pool.ts";
import { Stops } from "#actors/inference/stops.ts";
import { systemClock } from "#runtime/clock.ts";
import { jobOf } from "#test/harness/inference.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const parts = (): AttemptParts => ({
  // It does not even hear that it is told to end.
  pool: new ModelPool(
    [
      {
        price: undefined,
        concurrency: 1,
        model: { name: "deaf", provider: "test", run: () => new Promise(() => {}) },
      },
    ],
    systemClock,
  ),
  stops: new Stops({ subscribe: () => ({ stop() {} }) }),
  clock: systemClock,
  delivery: 1,
  handBack: new AbortController().signal,
  leaving: new AbortController().signal,
  onText() {},
  onRestart() {},
  onFailure() {},
});

test.each([
  [2_000, 1_800],
  [60_000, 59_000],
])("of a deadline in %i ms a hanging model gets %i", async (leftMs, modelMs) => {
  let outcome: Awaited<ReturnType<typeof runAttempt>> | undefined;
  void runAttempt(jobOf({ deadline: Date.now() + leftMs }), parts()).then((ended) => {
    outcome = ended;
  });
  await vi.advanceTimersByTimeAsync(modelMs - 1);
  expect(outcome).toBeUndefined();
  await vi.advanceTimersByTimeAsync(1);
  expect(outcome).toMatchObject({ finish: "failed", error: { code: "turn.deadline" } });
});
