// The simulator: deterministic by seed, its shapes those of the API, its bill complete.
import OpenAI from "openai";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { program } from "#ops/cli/main.ts";
import { parseFlags } from "#ops/simulator/main.ts";
import { DEFAULTS, fateOf } from "#ops/simulator/options.ts";
import { type Simulator, startSimulator } from "#ops/simulator/server.ts";

let simulator: Simulator;
let client: OpenAI;
const messages = [{ role: "user" as const, content: "hello there" }];

beforeEach(async () => {
  simulator = await startSimulator();
  client = new OpenAI({ baseURL: simulator.baseUrl, apiKey: "none", maxRetries: 0 });
});
afterEach(() => simulator.close());

describe("simulator", () => {
  test("gives the n-th request the same fate under the same seed, in about the wanted shares", () => {
    const options = { ...DEFAULTS, errorRate: 0.2, hangRate: 0.1 };
    const fates = (seed: number) => Array.from({ length: 2_000 }, (_, n) => fateOf({ ...options, seed }, n));
    expect(fates(7)).toEqual(fates(7));
    expect(fates(7)).not.toEqual(fates(8));
    expect(fates(7).filter((fate) => fate === "error").length / 2_000).toBeCloseTo(0.2, 1);
    expect(fates(7).filter((fate) => fate === "hang").length / 2_000).toBeCloseTo(0.1, 1);
  });

  test("answers whole, and repeats the last user message", async () => {
    const answer = await client.chat.completions.create({ model: "m", messages, user: "job-1" });
    expect(answer.choices[0]?.message.content).toContain("hello there");
    expect(answer.choices[0]?.message.content).toHaveLength(DEFAULTS.replyBytes);
    expect(simulator.bill()).toMatchObject([
      { job: "job-1", model: "m", outcome: "finished", stream: false },
    ]);
  });

  test("takes what a client of the API sends: parts of text, a message that only calls a tool, its result", async () => {
    const answer = await client.chat.completions.create({
      model: "m",
      messages: [
        { role: "developer", content: "Be brief." },
        {
          role: "user",
          content: [
            { type: "text", text: "in " },
            { type: "text", text: "parts" },
          ],
        },
        {
          role: "assistant",
          content: null,
          tool_calls: [{ id: "c1", type: "function", function: { name: "f", arguments: "{}" } }],
        },
        { role: "tool", tool_call_id: "c1", content: "42" },
      ],
    });
    expect(answer.choices[0]?.message.content).toContain("in parts");
  });

  test("streams the same text, then usage where asked, and honours max_tokens", async () => {
    let text = "";
    let tokens = 0;
    let finish: string | null | undefined;
    const stream = await client.chat.completions.create({
      model: "m",
      messages,
      stream: true,
      stream_options: { include_usage: true },
      max_tokens: 5,
    });
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? "";
      finish = chunk.choices[0]?.finish_reason ?? finish;
      tokens = chunk.usage?.completion_tokens ?? tokens;
    }
    expect({ text, tokens, finish }).toEqual({ text: "Simulated answer to:", tokens: 5, finish: "length" });
  });

  test("an error carries status and Retry-After, and is on the bill", async () => {
    simulator.set({ errorRate: 1, status: 429, retryAfter: 3 });
    const error = await client.chat.completions.create({ model: "m", messages }).catch((e: unknown) => e);
    expect(error).toMatchObject({ status: 429 });
    expect((error as { headers: Headers }).headers.get("retry-after")).toBe("3");
    expect(simulator.bill()).toMatchObject([{ outcome: "error" }]);
  });

  test("queues beyond its concurrency", async () => {
    simulator.set({ concurrency: 1, ttftMs: 40 });
    const startedAt = performance.now();
    await Promise.all([1, 2, 3].map(() => client.chat.completions.create({ model: "m", messages })));
    expect(performance.now() - startedAt).toBeGreaterThan(110);
  });

  test("embeds the same text to the same unit vector, in base64 or numbers", async () => {
    const embed = async (input: string, encoding_format: "base64" | "float") =>
      (await client.embeddings.create({ model: "m", input, encoding_format })).data[0]
        ?.embedding as unknown as number[] | string;
    const numbers = (await embed("How long does it take?", "float")) as number[];
    expect(Math.hypot(...numbers)).toBeCloseTo(1, 5);
    const bytes = Buffer.from((await embed("How long does it take?", "base64")) as string, "base64");
    expect(bytes.readFloatLE(4 * 3)).toBeCloseTo(numbers[3] as number, 6);
  });

  test("serves its bill over HTTP and forgets it", async () => {
    await client.chat.completions.create({ model: "m", messages });
    const bill = async (method: string) =>
      (await fetch(`${simulator.url}/bill`, { method })).json() as Promise<{ requests: unknown[] }>;
    expect((await bill("GET")).requests).toHaveLength(1);
    await bill("DELETE");
    expect((await bill("GET")).requests).toHaveLength(0);
    expect((await client.models.list()).data).toMatchObject([{ id: "simulated" }]);
  });

  test("a port that is taken is told with the next step", async () => {
    const started = (await program("simulator")).parseAsync(
      ["simulator", "--port", new URL(simulator.url).port],
      {
        from: "user",
      },
    );
    await expect(started).rejects.toMatchObject({ next: expect.stringContaining("--port") });
  });

  test("refuses flags that make no sense", () => {
    expect(parseFlags(["--port", "0", "--status", "429"])).toEqual({ port: 0, status: 429, errorRate: 1 });
    expect(() => parseFlags(["--error-rate", "2"])).toThrow("--error-rate");
    expect(() => parseFlags(["--nonsense"])).toThrow("nonsense");
  });
});
