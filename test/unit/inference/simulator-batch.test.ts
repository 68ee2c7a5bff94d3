// The simulated provider's batches, over real HTTP: shapes, the bill, what is refused, and the law of their time.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { stretchOf } from "#ops/simulator/options.ts";
import { type Simulator, startSimulator } from "#ops/simulator/server.ts";

let simulator: Simulator;
beforeAll(async () => {
  simulator = await startSimulator();
});
afterAll(() => simulator?.close());
afterEach(() => {
  simulator.set({
    ttftMs: 0,
    contextTokens: Number.POSITIVE_INFINITY,
    concurrency: Number.POSITIVE_INFINITY,
  });
  simulator.clearBill();
});

const post = (path: string, body: object, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${simulator.baseUrl}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
const chatOf = (text: string) => [{ role: "user", content: text }];
const BATCH = "/chat/completions/batch";

test("a batch of chats is one choice a conversation, and a line on the bill for each", async () => {
  const headers = { "x-jetclaw-jobs": "a,b%2Cc", "x-jetclaw-attempts": "1,12" };
  const response = await post(BATCH, { messages: [chatOf("one"), chatOf("two")] }, headers);
  const body = (await response.json()) as {
    choices: { index: number; message: { content: string } }[];
    usage: { prompt_tokens: number; completion_tokens: number };
  };
  expect(body.choices.map(({ index, message }) => `${index} ${message.content.slice(0, 24)}`)).toEqual([
    "0 Simulated answer to: one",
    "1 Simulated answer to: two",
  ]);
  const bill = simulator.bill();
  expect(bill).toMatchObject([
    { job: "a", attempt: 1, batch: 2, outcome: "finished" },
    { job: "b,c", attempt: 12, batch: 2, outcome: "finished" },
  ]);
  expect(body.usage).toMatchObject({
    prompt_tokens: bill.reduce((sum, { inputTokens }) => sum + inputTokens, 0),
    completion_tokens: bill.reduce((sum, { outputTokens }) => sum + outputTokens, 0),
  });
});

test("prompts are answered whole or streamed by index, and stop after 16 tokens unless told otherwise", async () => {
  const whole = (await (await post("/completions", { prompt: ["User: a", "User: b"] })).json()) as {
    choices: { index: number; text: string; finish_reason: string }[];
  };
  expect(whole.choices.map(({ index, finish_reason }) => `${index} ${finish_reason}`)).toEqual([
    "0 length",
    "1 length",
  ]);
  const stream = await post("/completions", {
    prompt: ["User: a", "User: b"],
    stream: true,
    max_tokens: 1_000,
    stream_options: { include_usage: true },
  });
  const events = (await stream.text()).split("\n\n").filter((event) => event.startsWith("data: {"));
  const texts = ["", ""];
  for (const event of events) {
    const { choices } = JSON.parse(event.slice(6)) as { choices: { index: number; text: string }[] };
    for (const { index, text } of choices) texts[index] += text;
  }
  expect(texts[0]).toMatch(/^ Simulated answer to: a/);
  expect(texts[1]).toMatch(/^ Simulated answer to: b/);
  expect(events.at(-1)).toContain('"choices":[],"usage"');
});

test.each([
  ["no conversations", { messages: [] }],
  ["an empty conversation", { messages: [chatOf("a"), []] }],
  ["a stream", { messages: [chatOf("a")], stream: true }],
  ["tools", { messages: [chatOf("a")], tools: [] }],
  ["several answers", { messages: [chatOf("a")], n: 2 }],
  ["one conversation beyond the context", { messages: [chatOf("a"), chatOf("x".repeat(400))] }],
])("%s: the whole batch is refused", async (_, body) => {
  simulator.set({ contextTokens: 50 });
  expect((await post(BATCH, body)).status).toBe(400);
  expect(simulator.bill()).toEqual([]);
});

describe("time", () => {
  test("a batch of 16 takes the batch factor, one alone takes 1, linear between", () => {
    const times = [1, 8.5, 16, 31].map((items) => stretchOf({ batchFactor: 2 }, items));
    expect(times).toEqual([1, 1.5, 2, 3]);
  });

  test("a batch has one place: four conversations in one call beat four calls", async () => {
    simulator.set({ ttftMs: 100, concurrency: 1 });
    const timed = async (calls: Promise<Response>[]): Promise<number> => {
      const from = performance.now();
      for (const call of calls) await (await call).text();
      return performance.now() - from;
    };
    const together = await timed([post(BATCH, { messages: ["a", "b", "c", "d"].map(chatOf) })]);
    const apart = await timed(["a", "b", "c", "d"].map((text) => post(BATCH, { messages: [chatOf(text)] })));
    expect(together).toBeGreaterThanOrEqual(115);
    expect(apart).toBeGreaterThanOrEqual(390);
  });
});
