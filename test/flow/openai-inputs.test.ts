// What the OpenAI-compatible endpoint refuses before anything is queued, and what it hands on to a provider untouched.
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import OpenAI from "openai";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { createLoadAdmin } from "#actors/governor/admin.ts";
import { systemClock } from "#runtime/clock.ts";
import { type EndpointWorld, endpointWorld } from "#test/harness/endpoint.ts";
import { waitUntil } from "#test/harness/wait.ts";

/** Requests that the provider got. */
const heard: Record<string, unknown>[] = [];
/** What it answers to a request that is not streamed. */
let whole: Record<string, unknown>;
let provider: Server;
let world: EndpointWorld;

const CALL = {
  id: "call_1",
  type: "function",
  function: { name: "find_order", arguments: '{"number":"4711"}' },
} as const;

const CALLED = {
  message: { role: "assistant", content: null, tool_calls: [CALL] },
  finish_reason: "tool_calls",
};
afterEach(() => {
  whole = CALLED;
});

beforeAll(async () => {
  whole = CALLED;
  provider = createServer((request, response) => {
    let text = "";
    request.on("data", (piece) => {
      text += piece;
    });
    request.on("end", () => {
      const body = JSON.parse(text) as Record<string, unknown>;
      heard.push(body);
      const head = { id: "x", created: 1, model: body.model };
      const usage = { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7 };
      if (!body.stream) {
        response.setHeader("content-type", "application/json");
        const choices = [{ index: 0, ...whole }];
        response.end(JSON.stringify({ ...head, object: "chat.completion", choices, usage }));
        return;
      }
      response.setHeader("content-type", "text/event-stream");
      const { id, type, function: called } = CALL;
      const pieces = [
        { tool_calls: [{ index: 0, id, type, function: { name: called.name, arguments: "" } }] },
        { tool_calls: [{ index: 0, function: { arguments: called.arguments.slice(0, 6) } }] },
        { tool_calls: [{ index: 0, function: { arguments: called.arguments.slice(6) } }] },
      ];
      for (const delta of pieces)
        response.write(
          `data: ${JSON.stringify({ ...head, choices: [{ index: 0, delta, finish_reason: null }] })}\n\n`,
        );
      response.end(
        `data: ${JSON.stringify({ ...head, choices: [{ index: 0, delta: {}, finish_reason: "tool_calls" }] })}\n\ndata: [DONE]\n\n`,
      );
    });
  });
  await new Promise<void>((resolve) => provider.listen(0, "127.0.0.1", resolve));
  const baseUrl = `http://127.0.0.1:${(provider.address() as AddressInfo).port}/v1`;
  world = await endpointWorld({ default: { models: [{ name: "m", baseUrl, concurrency: 8 }] } });
  await world.worker();
});
afterAll(async () => {
  await world?.stop();
  provider?.close();
});

const PLAIN = { model: "m", messages: [{ role: "user", content: "Where is my order?" }] };
const tool = (parameters: unknown) => ({ type: "function", function: { name: "find_order", parameters } });
const deep = (depth: number): string => `${"[".repeat(depth)}${"]".repeat(depth)}`;
const image = (url: string) => ({
  ...PLAIN,
  messages: [{ role: "user", content: [{ type: "image_url", image_url: { url } }] }],
});

describe("refused", () => {
  const cases: readonly (readonly [string, unknown, number])[] = [
    ["a million answers", { ...PLAIN, n: 1_000_000 }, 400],
    ["a negative limit", { ...PLAIN, max_tokens: -5 }, 400],
    ["a huge limit", { ...PLAIN, max_completion_tokens: 1e12 }, 400],
    ["NaN as a limit", '{"model":"m","messages":[{"role":"user","content":"a"}],"max_tokens":NaN}', 400],
    ["NaN as a text", { ...PLAIN, max_tokens: "NaN" }, 400],
    ["half a token", { ...PLAIN, max_tokens: 1.5 }, 400],
    ["messages as a text", { ...PLAIN, messages: "hello" }, 400],
    ["no messages", { ...PLAIN, messages: [] }, 400],
    ["messages left out", { model: "m" }, 400],
    ["a message without content", { ...PLAIN, messages: [{ role: "user" }] }, 400],
    ["an unknown role", { ...PLAIN, messages: [{ role: "root", content: "a" }] }, 400],
    ["no model", { messages: PLAIN.messages }, 400],
    ["an unknown model", { ...PLAIN, model: "gpt-99" }, 404],
    ["a base URL", { ...PLAIN, base_url: "http://169.254.169.254/" }, 400],
    ["an API base", { ...PLAIN, api_base: "http://localhost/" }, 400],
    ["an unknown option", { ...PLAIN, frequency: 1 }, 400],
    ["a tool without a name", { ...PLAIN, tools: [{ type: "function", function: {} }] }, 400],
    ["a tool schema of an unknown type", { ...PLAIN, tools: [tool({ type: "objekt" })] }, 400],
    [
      "a tool schema with a text for properties",
      { ...PLAIN, tools: [tool({ type: "object", properties: "a" })] },
      400,
    ],
    ["a tool schema as a text", { ...PLAIN, tools: [tool("{}")] }, 400],
    [
      "a choice of a tool that is not there",
      { ...PLAIN, tool_choice: { type: "function", function: { name: "x" } } },
      400,
    ],
    ["JSON nested 100,000 deep", `{"model":"m","messages":${deep(100_000)}}`, 400],
    [
      "a word of a million characters",
      { ...PLAIN, messages: [{ role: "user", content: "a".repeat(1_000_000) }] },
      413,
    ],
    ["a temperature of 3", { ...PLAIN, temperature: 3 }, 400],
    ["an image in our network", image("http://169.254.169.254/latest"), 400],
    ["an image by a decimal address", image("http://2130706433/"), 400],
    ["an image by a mapped address", image("http://[::ffff:127.0.0.1]/"), 400],
    ["an image at localhost", image("https://localhost/a.png"), 400],
    ["a file", image("file:///etc/passwd"), 400],
    ["no object", "[]", 400],
    ["no JSON", "{", 400],
    ["nothing", "", 400],
  ];

  test.each(cases)("%s", async (_name, body, status) => {
    const before = heard.length;
    const text = typeof body === "string" ? body : JSON.stringify(body);
    const response = await world.post(text);
    const answer = (await response.json()) as { error: { message: string; type: string } };
    expect(response.status).toBe(status);
    expect(answer.error).toMatchObject({ type: "invalid_request_error", message: expect.any(String) });
    expect(heard).toHaveLength(before);
    expect((await world.bus.jsm.streams.info("INFER-default")).state.messages).toBe(0);
  });

  test("10 MB, before they are read", async () => {
    const body = JSON.stringify({
      ...PLAIN,
      messages: [{ role: "user", content: "word ".repeat(2_000_000) }],
    });
    const response = await world.post(body);
    expect(response.status).toBe(413);
    expect(await response.json()).toMatchObject({ error: { code: "request_too_large" } });
  });

  test("an address in the query or in a header", async () => {
    const { url } = world.gateway;
    const headers = { authorization: "Bearer demo", "content-type": "application/json" };
    const send = (path: string, more: Record<string, string>) =>
      fetch(`${url}${path}`, {
        method: "POST",
        headers: { ...headers, ...more },
        body: JSON.stringify(PLAIN),
      });
    expect((await send("/v1/chat/completions?base_url=http://10.0.0.1", {})).status).toBe(400);
    expect((await send("/v1/chat/completions", { "x-portkey-custom-host": "http://10.0.0.1" })).status).toBe(
      400,
    );
  });

  test("an unknown model, with a hint where the list is", async () => {
    const error = await world.client.chat.completions
      .create({ model: "gpt-99", messages: [{ role: "user", content: "a" }] })
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(OpenAI.NotFoundError);
    expect(error).toMatchObject({ code: "model_not_found", param: "model" });
    expect((error as Error).message).toContain("GET /v1/models");
  });

  test("new requests while the deployment is overloaded, not those of a conversation under way", async () => {
    const loaded = await endpointWorld({ default: { models: [{ name: "m", provider: "echo" }] } });
    try {
      await loaded.worker();
      await createLoadAdmin(loaded.bus, systemClock).override(2, "launch", "test");
      const refused = await waitUntil(
        async () => {
          const response = await loaded.post(PLAIN);
          return response.status === 429 && response;
        },
        { what: "the level to be known" },
      );
      expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
      const messages = [
        ...PLAIN.messages,
        { role: "assistant", content: "Which?" },
        { role: "user", content: "4711" },
      ];
      const ongoing = await loaded.post({ ...PLAIN, messages }, { headers: { "x-jetclaw-session": "s" } });
      expect(ongoing.status).toBe(200);
    } finally {
      await loaded.stop();
    }
  });
});

describe("tools", () => {
  const request = {
    model: "m",
    messages: [{ role: "user" as const, content: "Where is my order 4711?" }],
    tools: [
      {
        type: "function" as const,
        function: {
          name: "find_order",
          parameters: { type: "object", properties: { number: { type: "string" } }, required: ["number"] },
        },
      },
    ],
    tool_choice: "auto" as const,
  };

  test("reach the provider as they were sent, and its calls come back", async () => {
    const answer = await world.client.chat.completions.create(request);
    expect(heard.at(-1)).toMatchObject({
      tools: request.tools,
      tool_choice: "auto",
      messages: request.messages,
    });
    expect(answer.choices[0]).toMatchObject({
      finish_reason: "tool_calls",
      message: { content: null, tool_calls: [CALL] },
    });
  });

  test("come back streamed, whole", async () => {
    const stream = world.client.chat.completions.stream(request);
    const message = await stream.finalMessage();
    expect(message.tool_calls?.[0]).toMatchObject({ id: CALL.id, function: CALL.function });
    expect((await stream.finalChatCompletion()).choices[0]?.finish_reason).toBe("tool_calls");
  });

  test("have their results, and images by reference, handed on word by word", async () => {
    const messages = [
      { role: "developer" as const, content: "Be brief." },
      {
        role: "user" as const,
        content: [
          { type: "text" as const, text: "Whose parcel is this?" },
          { type: "image_url" as const, image_url: { url: "https://example.com/parcel.png" } },
        ],
      },
      { role: "assistant" as const, content: null, tool_calls: [CALL] },
      { role: "tool" as const, tool_call_id: CALL.id, content: "on its way" },
    ];
    await world.client.chat.completions.create({
      ...request,
      messages,
      stop: ["END"],
      logit_bias: { 50256: -100 },
    });
    expect(heard.at(-1)).toMatchObject({ messages, stop: ["END"], logit_bias: { 50256: -100 } });
  });
});

describe("handed on", () => {
  const textOf = (content: string) => ({ ...PLAIN, messages: [{ role: "user", content }] });

  test("a request as large as its body may be, once as texts and once as it was sent", async () => {
    const text = "word ".repeat(190_000);
    const messages = [{ role: "user", content: [{ type: "text", text }] }];
    for (const body of [{ ...PLAIN, messages }, textOf(text)]) {
      const response = await world.post(body);
      expect(response.status).toBe(200);
      await response.json();
      expect(heard.at(-1)).toMatchObject({ messages: body.messages });
    }
  });

  test("nothing of options that are null, whether they are known or not", async () => {
    const open = { functions: null, top_logprobs: null, stream_options: null, stop: null };
    expect((await world.post({ ...PLAIN, ...open })).status).toBe(200);
    for (const name of Object.keys(open)) expect(heard.at(-1)).not.toHaveProperty(name);
  });
});

describe("an answer without a word", () => {
  test("is one where the caller's own limit left no room for it, and is paid for once", async () => {
    whole = { message: { role: "assistant", content: "" }, finish_reason: "length" };
    const before = heard.length;
    const answer = await world.client.chat.completions.create({
      model: "m",
      messages: [{ role: "user", content: "Think." }],
      max_completion_tokens: 1,
    });
    expect(answer.choices[0]).toMatchObject({ finish_reason: "length", message: { content: "" } });
    expect(heard).toHaveLength(before + 1);
  });

  test("may be a refusal, which is told as one", async () => {
    whole = { message: { role: "assistant", content: null, refusal: "I cannot." }, finish_reason: "stop" };
    const answer = await world.client.chat.completions.create({
      model: "m",
      messages: [{ role: "user", content: "Do it." }],
      response_format: { type: "json_object" },
    });
    expect(answer.choices[0]).toMatchObject({
      finish_reason: "stop",
      message: { content: null, refusal: "I cannot." },
    });
  });
});
