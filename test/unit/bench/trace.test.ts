import { expect, test } from "vitest";
import { randomFrom } from "#ops/bench/shape.ts";
import { paced, parseTrace, Threads } from "#ops/bench/trace.ts";
import { answerTo, tokensOf } from "#ops/simulator/answer.ts";
import { DEFAULTS } from "#ops/simulator/options.ts";

test("a trace is read in order of time, and a line that is something else is named", () => {
  expect(
    parseTrace('{"t": 2, "in": 5, "out": 0}\n{"t": 1.5, "in": 7, "out": 9, "prefix_blocks": []}\n'),
  ).toEqual([
    { at: 1_500, inputTokens: 7, outputTokens: 9 },
    { at: 2_000, inputTokens: 5, outputTokens: 1 },
  ]);
  expect(() => parseTrace('{"t": 1, "in": 5, "out": 1}\nhour,requests\n')).toThrow("line 2 of the trace");
});

test("speed brings requests nearer to each other, time cuts the rest off", () => {
  const trace = [0, 40_000, 100_000].map((at) => ({ at, inputTokens: 1, outputTokens: 1 }));
  expect(paced(trace, 20, 3).map(({ at }) => at)).toEqual([0, 2_000]);
  expect(paced(trace, 20, 3, 20).map(({ at }) => at)).toEqual([1_000]);
});

test("a conversation goes on only once it was answered and while its history fits the input", () => {
  const threads = new Threads(() => 0);
  const request = { at: 0, inputTokens: 100, outputTokens: 50 };
  const first = threads.next(request);
  expect(threads.next(request).session).not.toBe(first.session);
  threads.answered(first.session);
  expect(threads.next(request).session).not.toBe(first.session);
  expect(threads.next({ ...request, inputTokens: 400 })).toEqual({
    session: first.session,
    turn: 2,
    messageTokens: 250,
  });
});

test("no conversation lasts for ever", () => {
  const threads = new Threads(randomFrom(1));
  const turns = Array.from({ length: 200 }, (_, n) => {
    const { session, turn } = threads.next({ at: 0, inputTokens: 10 ** 6 * (n + 1), outputTokens: 1 });
    threads.answered(session);
    return turn;
  });
  expect(Math.max(...turns)).toBeLessThanOrEqual(6);
});

test("the simulator answers in as many tokens as it is asked for, where it was told to", () => {
  const messages = [{ role: "user", content: "Answer in 44 tokens. Where is my order?" }];
  expect(tokensOf(answerTo(messages, "m", { ...DEFAULTS, lengths: true }))).toHaveLength(44);
  expect(answerTo(messages, "m", DEFAULTS)).toHaveLength(DEFAULTS.replyBytes);
});
