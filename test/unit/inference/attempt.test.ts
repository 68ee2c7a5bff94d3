// An attempt ends while its result can still reach the conversation, whatever its model does. The clock is played.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type AttemptParts, runAttempt } from "#actors/inference/attempt.ts";
import { AnswerReader } from "#actors/inference/models/openai-answer.ts";
import type { PooledModel } from "#actors/inference/models/registry.ts";
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
  stops: new Stops({ subscribe: () => ({ stop() {}, async drain() {} }) }),
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

test("what a model used up for its thoughts alone is in the bill, once, at its own price", async () => {
  const saying = (name: string, content: string, finish: string, outputPerMTok: number): PooledModel => ({
    price: { inputPerMTok: 0, outputPerMTok },
    concurrency: 1,
    model: {
      name,
      provider: "test",
      estimate: () => ({ inputTokens: 7, outputTokens: 7 }),
      async run(job, run) {
        const reader = new AnswerReader(run);
        const usage = { prompt_tokens: 10, completion_tokens: 100 };
        const choices = [{ index: 0, delta: { content }, finish_reason: finish }];
        reader.read({ choices, usage } as unknown as Parameters<AnswerReader["read"]>[0]);
        return reader.answer(job);
      },
    },
  });
  const thinks = saying("thinks", " ", "length", 1_000);
  const ask = (models: PooledModel[]) =>
    runAttempt(jobOf(), { ...parts(), pool: new ModelPool(models, systemClock) });
  expect(await ask([thinks])).toMatchObject({
    finish: "failed",
    usage: { inputTokens: 10, outputTokens: 100 },
    costUsd: 0.1,
  });
  expect(await ask([thinks, saying("answers", "Two days.", "stop", 2_000)])).toMatchObject({
    text: "Two days.",
    usage: { inputTokens: 20, outputTokens: 200 },
    costUsd: 0.1 + 0.2,
  });
});
