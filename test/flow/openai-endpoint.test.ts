// The official OpenAI client against gateway, worker and simulated provider on a real NATS.
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import OpenAI from "openai";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { DEFAULTS } from "#ops/simulator/options.ts";
import { type Simulator, startSimulator } from "#ops/simulator/server.ts";
import { type EndpointWorld, endpointWorld } from "#test/harness/endpoint.ts";
import { openApiCheck, type Schema } from "#test/harness/openapi-check.ts";
import { waitUntil } from "#test/harness/wait.ts";

const DESCRIPTION = fileURLToPath(new URL("../../../shared/data/wire/openai-openapi.json", import.meta.url));
const described = existsSync(DESCRIPTION);

let main: Simulator;
let backup: Simulator;
let world: EndpointWorld;

beforeAll(async () => {
  [main, backup] = await Promise.all([startSimulator(), startSimulator()]);
  const model = (name: string, { baseUrl }: Simulator) => ({ name, baseUrl, concurrency: 64 });
  world = await endpointWorld({
    fast: { models: [model("sim-small", main)] },
    // A model that was limited rests: a test that limits one has its own.
    limited: { models: [model("sim-limited", main)] },
    broken: { models: [model("sim-broken", main)] },
    safe: { models: [model("sim-first", main), model("sim-second", backup)] },
  });
  await world.worker();
});
afterAll(async () => {
  await world?.stop();
  await Promise.all([main?.close(), backup?.close()]);
});
afterEach(() => {
  const { port: _, ...defaults } = DEFAULTS;
  main.set(defaults);
  backup.set(defaults);
  main.clearBill();
  backup.clearBill();
});

const ask = (text = "How long does delivery take?") => ({
  model: "sim-small",
  messages: [{ role: "user" as const, content: text }],
});

describe("a chat", () => {
  test("is answered with usage, by the model that was named", async () => {
    const answer = await world.client.chat.completions.create({ ...ask(), temperature: 0.2, seed: 7 });
    expect(answer.choices[0]?.message.content).toContain("How long does delivery take?");
    expect(answer).toMatchObject({
      object: "chat.completion",
      model: "sim-small",
      choices: [{ finish_reason: "stop" }],
    });
    expect(answer.usage?.total_tokens).toBeGreaterThan(10);
    expect(main.bill()).toHaveLength(1);
  });

  test("goes to a pool by its name, and anywhere with auto", async () => {
    for (const model of ["fast", "auto"])
      expect((await world.client.chat.completions.create({ ...ask(), model })).model).toBe("sim-small");
    expect((await world.client.chat.completions.create({ ...ask(), model: "sim-second" })).model).toBe(
      "sim-second",
    );
  });

  test("is cut off where the caller wants it", async () => {
    const answer = await world.client.chat.completions.create({ ...ask(), max_completion_tokens: 3 });
    expect(answer.choices[0]?.finish_reason).toBe("length");
    expect(answer.usage?.completion_tokens).toBe(3);
  });

  test("is streamed, with its usage last when that is asked for", async () => {
    const chunks: OpenAI.ChatCompletionChunk[] = [];
    for await (const chunk of await world.client.chat.completions.create({
      ...ask(),
      stream: true,
      stream_options: { include_usage: true },
    }))
      chunks.push(chunk);
    const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");
    expect(text).toContain("How long does delivery take?");
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: 7 } });
    expect(chunks.at(-2)?.choices[0]?.finish_reason).toBe("stop");
    expect(chunks.slice(0, -1).every(({ usage }) => usage === null)).toBe(true);
  });

  test("ends in [DONE], and without usage unless it is asked for", async () => {
    const text = await (await world.post({ ...ask(), stream: true })).text();
    expect(text.trimEnd().endsWith("data: [DONE]")).toBe(true);
    expect(text).not.toContain("usage");
    expect(text).not.toContain("retry:");
  });

  test.skipIf(!described)(
    "has the shapes of OpenAI's own description (skipped without ../shared/data)",
    async () => {
      const check = openApiCheck(JSON.parse(readFileSync(DESCRIPTION, "utf8")) as Schema);
      const whole = await (await world.post(ask())).json();
      expect(check("CreateChatCompletionResponse", whole)).toEqual([]);
      const streamed = await world.post({ ...ask(), stream: true, stream_options: { include_usage: true } });
      for (const line of (await streamed.text()).split("\n\n").filter((each) => each.startsWith("data: {")))
        expect(check("CreateChatCompletionStreamResponse", JSON.parse(line.slice(6)))).toEqual([]);
      expect(check("ErrorResponse", await (await world.post({})).json())).toEqual([]);
      const models = await fetch(`${world.gateway.url}/v1/models`, {
        headers: { authorization: "Bearer demo" },
      });
      expect(check("ListModelsResponse", await models.json())).toEqual([]);
    },
  );
});

describe("models", () => {
  test("are listed: auto, pools, models", async () => {
    const names: string[] = [];
    for await (const { id } of world.client.models.list()) names.push(id);
    expect(names).toEqual([
      "auto",
      "fast",
      "sim-small",
      "limited",
      "sim-limited",
      "broken",
      "sim-broken",
      "safe",
      "sim-first",
      "sim-second",
    ]);
  });

  test("are told of one by one, and which there are where there is none of that name", async () => {
    expect(await world.client.models.retrieve("sim-small")).toMatchObject({
      id: "sim-small",
      object: "model",
    });
    const error = await world.client.models.retrieve("a/b").catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(OpenAI.NotFoundError);
    expect(error).toMatchObject({ code: "model_not_found", message: expect.stringContaining("auto, fast") });
  });

  test("are described in openapi.json", async () => {
    const { paths } = (await (await fetch(`${world.gateway.url}/openapi.json`)).json()) as { paths: object };
    expect(Object.keys(paths)).toEqual(expect.arrayContaining(["/v1/chat/completions", "/v1/models"]));
  });
});

describe("a model that thinks for long before its first word", () => {
  test("is no dead connection to what stands between: the stream has begun and shows that it lives", async () => {
    const slow = await endpointWorld(
      { fast: { models: [{ name: "sim-small", baseUrl: main.baseUrl }] } },
      { heartbeatMs: 200 },
    );
    try {
      await slow.worker();
      main.set({ hangRate: 1 });
      const abort = new AbortController();
      const response = await slow.post({ ...ask(), stream: true }, { signal: abort.signal });
      const reader = (response.body as ReadableStream<Uint8Array>).getReader();
      let text = "";
      while (!text.includes("\n:\n")) text += new TextDecoder().decode((await reader.read()).value);
      expect([response.status, text.includes('"role":"assistant"')]).toEqual([200, true]);
      abort.abort();
      await waitUntil(() => main.bill()[0]?.outcome === "aborted", { what: "the cancel" });
      main.clearBill();
      main.set({ hangRate: 0, ttftMs: 1_000 });
      const stream = slow.client.chat.completions.stream(ask());
      expect((await stream.finalMessage()).content).toContain("How long does delivery take?");
    } finally {
      await slow.stop();
    }
  });
});

describe("a caller who leaves", () => {
  test.each([true, false])("has the provider's request ended (stream: %s)", async (stream) => {
    main.set({ tokensPerSecond: 10, replyBytes: 4_000, ttftMs: stream ? 0 : 60_000 });
    const abort = new AbortController();
    const asked = world.client.chat.completions.create({ ...ask(), stream }, { signal: abort.signal });
    if (stream) for await (const _ of (await asked) as AsyncIterable<unknown>) break;
    else {
      asked.catch(() => {});
      await waitUntil(() => main.bill().some(({ outcome }) => outcome === "open"), { what: "the request" });
    }
    abort.abort();
    await waitUntil(() => main.bill()[0]?.outcome === "aborted", { what: "the cancel" });
  });

  test("has a job removed that nobody has taken yet", async () => {
    const idle = await endpointWorld({ fast: { models: [{ name: "m", baseUrl: main.baseUrl }] } });
    try {
      const abort = new AbortController();
      idle.post({ ...ask(), model: "m" }, { signal: abort.signal }).catch(() => {});
      const stored = async () => (await idle.bus.jsm.streams.info("INFER-fast")).state.messages;
      await waitUntil(async () => (await stored()) === 1, { what: "the stored job" });
      abort.abort();
      await waitUntil(async () => (await stored()) === 0, { what: "the purge" });
    } finally {
      await idle.stop();
    }
  });
});

describe("failures", () => {
  test("a time-out is 504 in OpenAI's shape, and ends the provider's request", async () => {
    main.set({ hangRate: 1 });
    const response = await world.post(ask(), { headers: { "x-jetclaw-timeout-ms": "4000" } });
    expect(response.status).toBe(504);
    expect(await response.json()).toMatchObject({ error: { type: "server_error", code: "timeout" } });
    await waitUntil(() => main.bill()[0]?.outcome === "aborted", { what: "the cancel" });
  });

  test("a provider's 429 is passed on with its Retry-After", async () => {
    main.set({ errorRate: 1, status: 429, retryAfter: 100 });
    const error = await world.client.chat.completions
      .create({ ...ask(), model: "limited" })
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(OpenAI.RateLimitError);
    const { headers, code } = error as InstanceType<typeof OpenAI.RateLimitError>;
    expect(Number(headers.get("retry-after"))).toBeGreaterThan(50);
    expect(Number(headers.get("retry-after"))).toBeLessThanOrEqual(100);
    expect(code).toBe("rate_limit_exceeded");
    main.set({ errorRate: 0 });
  });

  test("another model answers where one fails, without a wait", async () => {
    const request = { ...ask(), model: "safe" };
    const timed = async (): Promise<number> => {
      const from = performance.now();
      await world.client.chat.completions.create(request);
      return performance.now() - from;
    };
    const plain = Math.min(await timed(), await timed(), await timed());
    main.set({ errorRate: 1, status: 500 });
    const withFallback = Math.min(await timed(), await timed(), await timed());
    // Who waits for the one that fails waits for as long as a turn may take.
    expect(withFallback - plain).toBeLessThan(10_000);
    expect(backup.bill().length).toBeGreaterThanOrEqual(3);
  });

  test("a stream that breaks in the middle never ends as if it were complete", async () => {
    main.set({ halfStreamRate: 1, tokensPerSecond: 200, replyBytes: 400 });
    const text = await (await world.post({ ...ask(), model: "broken", stream: true })).text();
    expect(text).toContain('"content":"Simu');
    expect(text).not.toContain("[DONE]");
    const last = text.trimEnd().split("\n\n").at(-1) ?? "";
    expect(JSON.parse(last.slice("data: ".length))).toMatchObject({ error: { type: "server_error" } });
    const failed = (async () => {
      for await (const _ of await world.client.chat.completions.create({
        ...ask(),
        model: "broken",
        stream: true,
      }));
    })();
    await expect(failed).rejects.toBeInstanceOf(OpenAI.APIError);
  });

  test("without a key 401, with a wrong one too, in OpenAI's shape", async () => {
    for (const authorization of ["", "Bearer jc_wrong"]) {
      const response = await world.post(ask(), { headers: { authorization } });
      expect(response.status).toBe(401);
      expect(await response.json()).toMatchObject({ error: { code: "invalid_api_key" } });
    }
  });

  test("tells what the key may still ask", async () => {
    const { headers } = await world.post(ask());
    expect(Number(headers.get("x-ratelimit-limit-requests"))).toBe(10_000);
    expect(Number(headers.get("x-ratelimit-remaining-requests"))).toBeLessThan(10_000);
    expect(headers.get("x-request-id")).toMatch(/^[\w-]{22}$/);
  });
});

describe("a worker that dies", () => {
  test("before its first word is replaced without a sign", async () => {
    const lonely = await endpointWorld({
      fast: { models: [{ name: "m", baseUrl: main.baseUrl, concurrency: 4 }] },
    });
    try {
      main.set({ ttftMs: 60_000 });
      const first = await lonely.process();
      const answer = lonely.client.chat.completions.create({ ...ask(), model: "m", stream: true });
      const text = (async () => {
        let all = "";
        for await (const chunk of await answer) all += chunk.choices[0]?.delta.content ?? "";
        return all;
      })();
      await waitUntil(() => main.bill().length === 1, { what: "the first attempt" });
      main.set({ ttftMs: 0 });
      await first.kill();
      await lonely.worker();
      expect(await text).toContain("How long does delivery take?");
      expect(main.bill().at(-1)?.outcome).toBe("finished");
      expect(main.bill().at(-1)?.attempt).toBeGreaterThan(1);
    } finally {
      await lonely.stop();
    }
  });

  test("after it is an error, not a second answer glued to the first", async () => {
    const lonely = await endpointWorld({
      fast: { models: [{ name: "m", baseUrl: main.baseUrl, concurrency: 4 }] },
    });
    try {
      main.set({ tokensPerSecond: 5, replyBytes: 4_000 });
      const first = await lonely.process();
      const response = await lonely.post({ ...ask(), model: "m", stream: true });
      await first.kill();
      await lonely.worker();
      const text = await response.text();
      expect(text).toContain("stream_interrupted");
      expect(text).not.toContain("[DONE]");
    } finally {
      await lonely.stop();
    }
  });
});
