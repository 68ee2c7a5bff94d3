// What providers say besides what OpenAI's reference says they would: each case is one that a provider is known for.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, test } from "vitest";
import { failureOf } from "#actors/inference/failure.ts";
import { openaiEndpoint } from "#actors/inference/models/openai.ts";
import { AnswerReader } from "#actors/inference/models/openai-answer.ts";
import { modelError } from "#actors/inference/models/openai-errors.ts";
import { ProviderRefusal } from "#actors/inference/models/provider.ts";
import type { Job } from "#contracts/job.ts";
import type { Usage } from "#contracts/usage.ts";
import { jobOf } from "#test/harness/inference.ts";

type Chunk = Parameters<AnswerReader["read"]>[0];
const chunk = (delta: object, finish_reason: string | null = null, rest: object = {}) =>
  ({ choices: [{ index: 0, delta, finish_reason }], ...rest }) as unknown as Chunk;
const event = (data: unknown) => `data: ${JSON.stringify(data)}\n\n`;
const DONE = "data: [DONE]\n\n";

function answerOf(chunks: readonly Chunk[], job: Partial<Job> = {}) {
  const reader = new AnswerReader({ onText() {} });
  for (const each of chunks) reader.read(each);
  return reader.answer(jobOf(job));
}
const ofEndpoint = { chat: { options: {} } };

describe("an answer", () => {
  test("of a model that thinks aloud in parts (Mistral) is what is meant to be read", () => {
    const { text } = answerOf([
      chunk({ role: "assistant", content: "" }),
      chunk({ content: [{ type: "thinking", thinking: [{ type: "text", text: "Hm." }] }] }),
      chunk({ content: [{ type: "text", text: "Two " }] }),
      chunk({ content: "days." }, "stop"),
    ]);
    expect(text).toBe("Two days.");
  });

  test.each(["abort", "error", "insufficient_system_resource"])(
    "that its server gave up (%s) is not whole",
    (reason) => {
      expect(() => answerOf([chunk({ content: "Del" }), chunk({}, reason)])).toThrow("gave the answer up");
    },
  );

  test.each(["length", "model_length", "content_filter", "content_filter: SAFETY"])(
    "cut off by %s says so",
    (reason) => {
      expect(answerOf([chunk({ content: "Del" }), chunk({}, reason)]).finish).toBe("length");
    },
  );

  test("with a finish reason in each chunk (Gemini behind proxies) is read to its end", () => {
    const all = ["Two ", "days ", "and a half."].map((content) => chunk({ content }, "stop"));
    expect(answerOf(all).text).toBe("Two days and a half.");
  });

  test("without a word, as its tokens went into thoughts, blames no model; a caller of the endpoint has it as it is", () => {
    const chunks = [chunk({ reasoning_content: "Hm" }), chunk({ content: "" }, "length")];
    expect(() => answerOf(chunks)).toThrow(
      expect.objectContaining({ reason: "spent", code: "model.rejected" }),
    );
    expect(answerOf(chunks, ofEndpoint)).toMatchObject({ text: "", finish: "length" });
    expect(answerOf([chunk({ content: "" }, "stop")], ofEndpoint)).toMatchObject({
      text: "",
      finish: "stop",
    });
  });

  test("whose thoughts are counted in the total alone (Gemini, xAI) costs them", () => {
    const used = (usage: object) => answerOf([chunk({ content: "a" }, "stop", { usage })]).usage;
    expect(used({ prompt_tokens: 20, completion_tokens: 198, total_tokens: 623 })).toEqual({
      inputTokens: 20,
      outputTokens: 603,
    });
    expect(used({ prompt_tokens: 20, completion_tokens: 9, total_tokens: 29 }).outputTokens).toBe(9);
    const beside = { prompt_tokens: 20, completion_tokens: 9, total_tokens: 529 };
    expect(used({ ...beside, prompt_tokens_details: { cached_tokens: 500 } }).outputTokens).toBe(9);
  });
});

describe("tool calls", () => {
  const callsOf = (...deltas: readonly object[][]) =>
    answerOf([...deltas.map((tool_calls) => chunk({ tool_calls })), chunk({}, "tool_calls")], ofEndpoint)
      .toolCalls;
  const whole = (id: string | undefined, name: string, text: unknown, index?: number) => ({
    ...(id === undefined ? {} : { id }),
    ...(index === undefined ? {} : { index }),
    function: { name, arguments: text },
  });
  const two = [
    { id: "a", name: "weather", arguments: '{"in":"Rome"}' },
    { id: "b", name: "weather", arguments: '{"in":"Paris"}' },
  ];

  test.each([
    ["all numbered 0 (Gemini)", 0],
    ["without numbers", undefined],
  ])("%s stay apart, in one chunk or in several", (_, index) => {
    const [rome, paris] = two.map(({ id, name, arguments: text }) => whole(id, name, text, index)) as [
      object,
      object,
    ];
    expect(callsOf([rome], [paris])).toEqual(two);
    expect(callsOf([rome, paris])).toEqual(two);
  });

  test("all numbered 0 and without ids stay apart, each with an id of its own", () => {
    const [rome, paris] = two.map(({ name, arguments: text }) => whole("", name, text, 0)) as [
      object,
      object,
    ];
    const calls = callsOf([rome], [paris]) ?? [];
    expect(calls.map((call) => call.arguments)).toEqual(two.map((call) => call.arguments));
    expect(new Set(calls.map(({ id }) => id)).size).toBe(2);
  });

  test("in pieces of two that take turns, whose later pieces repeat id or name, or lack both", () => {
    const piece = (index: number, text: string, rest: object = {}) => ({
      index,
      ...rest,
      function: { arguments: text },
    });
    expect(
      callsOf(
        [whole("b", "weather", "", 1), whole("a", "weather", "", 0)],
        [piece(0, '{"in":'), piece(1, '{"in"', { id: "b" })],
        [{ index: 1, id: "b", function: { name: "weather", arguments: ':"Paris"}' } }],
        [piece(0, '"Rome"}', { id: null })],
      ),
    ).toEqual(two);
  });

  test("whose arguments are an object are the same as a text", () => {
    expect(callsOf([whole("a", "weather", { in: "Rome" }, 0)])).toEqual(two.slice(0, 1));
  });
});

describe("a refusal", () => {
  const reasonOf = (status: number, body: unknown) =>
    failureOf(modelError(new ProviderRefusal(status, JSON.stringify(body), new Headers()))).reason;
  const details = [{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", reason: "API_KEY_INVALID" }];

  test.each([
    [
      "of Google's for a wrong key",
      400,
      [{ error: { code: 400, message: "API key not valid.", details } }],
      "unauthorized",
    ],
    [
      "of Anthropic's for an empty account",
      400,
      {
        error: {
          type: "invalid_request_error",
          message: "Your credit balance is too low to access the Anthropic API.",
        },
      },
      "exhausted",
    ],
    ["of Groq's for a tier that is full", 498, { error: { message: "capacity" } }, "overloaded"],
    [
      "that repeats the words of a user who writes of such things",
      400,
      { error: { message: 'invalid content: "reason": "API_KEY_INVALID", Your credit balance is too low' } },
      "refused",
    ],
  ])("%s", (_, status, body, reason) => {
    expect(reasonOf(status, body)).toBe(reason);
  });
});

/** Plays a server that answers or refuses by what it is asked; the endpoint at it, and what it was asked. */
async function served(
  refuse: (body: Record<string, unknown>) => unknown,
  answer = [chunk({ content: "fine" }, "stop")],
) {
  const asked: Record<string, unknown>[] = [];
  const spent: Usage[] = [];
  const server = createServer(async (request, response) => {
    let text = "";
    for await (const piece of request) text += piece;
    asked.push(JSON.parse(text));
    const refusal = refuse(asked.at(-1) ?? {});
    if (refusal) return response.writeHead(400).end(JSON.stringify(refusal));
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.end(answer.map(event).join("") + DONE);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const { model } = openaiEndpoint({ name: "m", baseUrl: `http://127.0.0.1:${port}/v1` });
  return {
    asked,
    spent,
    ask: (job: Partial<Job>) =>
      model.run(jobOf(job), {
        signal: new AbortController().signal,
        attempt: 1,
        onText: () => {},
        onSpent: (usage) => void spent.push(usage),
      }),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

test("tokens that all went into thoughts are told of once", async () => {
  const usage = { prompt_tokens: 20, completion_tokens: 400 };
  const chunks = [chunk({ content: "" }, "length"), { choices: [], usage } as unknown as Chunk];
  await using server = await served(() => undefined, chunks);
  await expect(server.ask({})).rejects.toMatchObject({ reason: "spent" });
  expect(server.spent).toEqual([{ inputTokens: 20, outputTokens: 400 }]);
  await server.ask(ofEndpoint);
  expect(server.spent).toHaveLength(1);
});

describe("an error inside a stream of status 200 (OpenRouter)", () => {
  test.each([
    [429, "limited"],
    ["429", "limited"],
    [402, "exhausted"],
    [401, "unauthorized"],
    [403, "unauthorized"],
    [400, "refused"],
    [502, "failed"],
    [503, "overloaded"],
    ["server_error", "failed"],
    [1234, "failed"],
  ])("of the code %s", async (code, reason) => {
    const error = { error: { code, message: "sk-secret" } } as unknown as Chunk;
    await using server = await served(() => undefined, [chunk({ content: "Two" }), error]);
    const failure = failureOf(await server.ask({}).catch((thrown: unknown) => thrown));
    expect(failure.reason).toBe(reason);
    expect(failure.detail).toMatch(/^an error inside the stream( \(HTTP \d{3}\))?$/);
  });
});

describe("an option that a server does not know", () => {
  test("is left out once Mistral has named it in an object for a message", async () => {
    const detail = [
      { type: "extra_forbidden", loc: ["body", "stream_options"], msg: "Extra inputs are not permitted" },
    ];
    await using server = await served(
      ({ stream_options }) => stream_options && { object: "error", message: { detail } },
    );
    expect((await server.ask({})).text).toBe("fine");
    expect((await server.ask({})).text).toBe("fine");
    expect(server.asked).toHaveLength(3);
  });

  test("is named as a newer model of OpenAI's wants it, at whatever address; our temperature is given up, a caller's is not", async () => {
    await using server = await served(({ max_tokens, temperature }) => {
      const of = (message: string) => ({ error: { message, type: "invalid_request_error" } });
      if (max_tokens !== undefined)
        return of(
          "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        );
      if (temperature === undefined) return undefined;
      return of(
        "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported.",
      );
    });
    const summary = { maxOutputTokens: 400, temperature: 0 };
    expect((await server.ask(summary)).text).toBe("fine");
    expect((await server.ask(summary)).text).toBe("fine");
    expect(server.asked).toHaveLength(4);
    expect(server.asked.at(-1)).toMatchObject({
      max_completion_tokens: 400,
      stream_options: { include_usage: true },
    });
    await expect(server.ask({ ...ofEndpoint, temperature: 0 })).rejects.toMatchObject({
      code: "model.rejected",
    });
    expect(server.asked).toHaveLength(5);
  });
});

test("a first chunk without a word (Azure's thoughts on the prompt) shortens no wait for the first word", async () => {
  const server = createServer((request, response) => {
    request.resume();
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(event({ choices: [], prompt_filter_results: [] }));
    setTimeout(() => response.end(event(chunk({ content: "fine" }, "stop")) + DONE), 300);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const timeouts = { betweenTokensMs: 50 };
  const { model } = openaiEndpoint({ name: "m", baseUrl: `http://127.0.0.1:${port}/v1`, timeouts });
  const run = { signal: new AbortController().signal, attempt: 1, onText: () => {} };
  expect((await model.run(jobOf({ deadline: Date.now() + 120_000 }), run)).text).toBe("fine");
  server.closeAllConnections();
  server.close();
});
