// One answer out of events that are lost, repeated, out of order, or of a worker that was given up.
import fc from "fast-check";
import { expect, test } from "vitest";
import { CompletionAnswer } from "#actors/gateway/openai/answer.ts";
import type { ReplyEvent } from "#contracts/chat.ts";
import type { JobResult } from "#contracts/job.ts";
import { NO_USAGE } from "#contracts/usage.ts";

const delta = (attempt: number, number: number, text: string): ReplyEvent => ({
  type: "delta",
  turn: 1,
  attempt,
  number,
  text,
});
const restart = (attempt: number): ReplyEvent => ({ type: "restart", turn: 1, attempt, number: 0 });
const result = (attempt: number, text: string, change: Partial<JobResult> = {}): ReplyEvent => ({
  type: "result",
  result: {
    job: "j",
    turn: 1,
    step: 0,
    attempt,
    finish: "stop",
    text,
    citations: [],
    model: "m",
    chunks: 0,
    usage: NO_USAGE,
    timings: { queuedMs: 0, firstTokenMs: 0, totalMs: 0 },
    worker: "w",
    ...change,
  },
});

/** Plays events; what the caller read, and how it ended. */
async function play(events: readonly ReplyEvent[]) {
  let said = "";
  const answer = new CompletionAnswer((text) => {
    said += text;
  });
  for (const event of events) answer.offer(event);
  answer.fail(new Error("the deadline"));
  return answer.result.then(
    ({ text }) => ({ said, text, error: undefined, ended: answer.ended }),
    (error: Error) => ({ said, text: undefined, error, ended: answer.ended }),
  );
}

test("deltas as they come, the rest from the result", async () => {
  expect(await play([delta(1, 1, "a"), delta(1, 2, "b"), result(1, "abc")])).toMatchObject({
    said: "abc",
    text: "abc",
  });
});

test("a delta that was lost is made good by the result", async () => {
  expect(await play([delta(1, 1, "a"), delta(1, 3, "c"), result(1, "abc")])).toMatchObject({
    said: "abc",
    text: "abc",
  });
});

test("before the first word an attempt is replaced in silence", async () => {
  expect(await play([restart(2), delta(1, 1, "old"), delta(2, 1, "n"), result(2, "new")])).toMatchObject({
    said: "new",
  });
});

test("after it the answer is broken off", async () => {
  const { error, said, ended } = await play([
    delta(1, 1, "old"),
    restart(2),
    delta(2, 1, "new"),
    result(2, "new"),
  ]);
  expect(error?.message).toContain("broke off");
  expect({ said, ended }).toEqual({ said: "old", ended: false });
});

test("the failure of an attempt that was given up ends nothing", async () => {
  const failed = result(1, "", { finish: "failed", error: { code: "turn.failed" } });
  expect(await play([delta(2, 1, "n"), failed, result(2, "new")])).toMatchObject({ text: "new" });
});

test("whatever happens on the way, two answers are never glued together", async () => {
  const texts = ["", "one answer of some length", "another answer, quite different", "a third one"];
  const event = fc.tuple(
    fc.integer({ min: 1, max: 3 }),
    fc.integer({ min: 0, max: 6 }),
    fc.integer({ min: 0, max: 9 }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(event, { maxLength: 24 }), async (drawn) => {
      const events = drawn.map(([attempt, number, kind]): ReplyEvent => {
        const text = texts[attempt] as string;
        if (kind === 0) return result(attempt, text);
        if (kind === 1) return restart(attempt);
        return delta(attempt, number, text.slice((number - 1) * 4, number * 4));
      });
      const { said, text } = await play(events.filter((each) => each.type !== "delta" || each.number > 0));
      expect(texts.some((each) => each.startsWith(said))).toBe(true);
      if (text !== undefined) expect(said).toBe(text);
    }),
    { numRuns: 2_000 },
  );
});
