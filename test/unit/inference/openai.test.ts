// What a streamed response of an OpenAI-compatible server is read as, whole, cut, spoiled or silent.

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, test, vi } from "vitest";
import { failureOf, isCongestion, isFault } from "#actors/inference/failure.ts";
import { openaiEndpoint } from "#actors/inference/models/openai.ts";
import { AnswerReader } from "#actors/inference/models/openai-answer.ts";
import { modelError, refusesStreamOptions } from "#actors/inference/models/openai-errors.ts";
import { readChunks } from "#actors/inference/models/openai-stream.ts";
import { Patience } from "#actors/inference/models/patience.ts";
import { ProviderRefusal } from "#actors/inference/models/provider.ts";
import { asJetclawError } from "#contracts/errors.ts";
import { jobOf } from "#test/harness/inference.ts";

const delta = (content: unknown, finish_reason: string | null = null) =>
  `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content }, finish_reason }] })}\n\n`;
const usage = (prompt_tokens: unknown, completion_tokens: unknown) =>
  `data: ${JSON.stringify({ choices: [], usage: { prompt_tokens, completion_tokens, prompt_tokens_details: { cached_tokens: 3 } } })}\n\n`;
const DONE = "data: [DONE]\n\n";

/** Reads a stream that arrives in pieces of a few bytes, as networks like it. */
async function read(body: string, pieceBytes = 7): Promise<string> {
  const bytes = new TextEncoder().encode(body);
  const response = {
    headers: new Headers(),
    async read(sink: (piece: Uint8Array) => boolean | undefined) {
      for (let at = 0; at < bytes.length; at += pieceBytes)
        if (sink(bytes.slice(at, at + pieceBytes)) === false) return;
    },
    text: async () => body,
  };
  let heard = "";
  const reader = new AnswerReader({
    onText(text) {
      heard += text;
    },
  });
  try {
    await readChunks(response, (chunks) => {
      for (const chunk of chunks) reader.read(chunk);
      return !reader.full;
    });
    const answer = reader.answer(jobOf({ messages: [{ role: "user", content: "12345678" }] }));
    expect(heard).toBe(answer.text);
    const { inputTokens, outputTokens } = answer.usage;
    return `${answer.text} | ${answer.finish} | ${inputTokens} ${outputTokens}`;
  } catch (error) {
    const { code, detail } = asJetclawError(error);
    return `${code}: ${detail}`;
  }
}

describe("a stream", () => {
  test.each([
    ["whole", delta("Hé") + delta("llo") + delta("", "stop") + usage(5, 2) + DONE, "Héllo | stop | 5 2"],
    ["cut off by a limit", delta("He") + delta(null, "length") + DONE, "He | length | 2 1"],
    ["without [DONE] but with a finish reason", delta("Hello") + delta("", "stop"), "Hello | stop | 2 2"],
    ["whose last event has no blank line", delta("Hello", "stop").trimEnd(), "Hello | stop | 2 2"],
    ["with counts that are none", delta("Hello", "stop") + usage(-1, "x") + DONE, "Hello | stop | 2 2"],
    ["followed by rubbish", `${delta("Hello", "stop") + DONE}data: {rubbish\n\n`, "Hello | stop | 2 2"],
    ["that ends in mid-answer", delta("Hel"), "model.unavailable: the stream ended before the answer did"],
    [
      "that says [DONE] in mid-answer",
      delta("Hel") + DONE,
      "model.unavailable: the stream ended before the answer did",
    ],
    ["that says nothing", delta("", "stop") + DONE, "model.unavailable: the answer is empty"],
    ["of no JSON", "data: {oops\n\n", "model.unavailable: the stream holds something else than JSON"],
    ["of other JSON", "data: 7\n\n", "model.unavailable: the stream holds something else than chunks"],
    ["of other content", delta({ a: 1 }), "model.unavailable: the stream holds something else than chunks"],
    ["of a web page", "<html>hello</html>", "model.unavailable: the stream ended before the answer did"],
    [
      "with an error",
      `${delta("He")}data: {"error":{"message":"sk-secret"}}\n\n`,
      "model.unavailable: an error inside the stream",
    ],
    [
      "that Groq stopped early",
      `${delta("He")}data: {"choices":[],"x_groq":{"error":"sk-secret"}}\n\n`,
      "model.unavailable: an error inside the stream",
    ],
    ["that is filtered", delta(null, "content_filter"), "model.rejected: the provider filtered the answer"],
  ])("%s", async (_, body, wanted) => {
    expect(await read(body)).toBe(wanted);
    expect(await read(body, 10_000)).toBe(wanted);
  });

  test("longer than an answer may be is cut", async () => {
    const [text = ""] = (
      await read(delta("x".repeat(150_000)) + delta("y".repeat(150_000)) + DONE, 60_000)
    ).split(" | ");
    expect(text).toHaveLength(200_000);
  });
});

describe("an error", () => {
  const of = (status: number, message = "secret sk-123", headers = {}) =>
    new ProviderRefusal(
      status,
      JSON.stringify({ error: { message, code: "some_code" } }),
      new Headers(headers),
    );

  test.each([
    [429, "model.unavailable"],
    [500, "model.unavailable"],
    [503, "model.unavailable"],
    [400, "model.rejected"],
    [401, "model.rejected"],
    [404, "model.rejected"],
  ])("HTTP %i is %s, and repeats nothing of what the provider wrote", (status, code) => {
    const error = modelError(of(status));
    expect(error.code).toBe(code);
    expect(error.detail).toBe(`HTTP ${status} (some_code)`);
    expect(error.cause).toBeUndefined();
  });

  test("keeps the provider's Retry-After", () => {
    expect(modelError(of(429, "", { "retry-after": "7" })).retryAfterSeconds).toBe(7);
    expect(modelError(of(429, "", { "retry-after": "soon" })).retryAfterSeconds).toBeUndefined();
  });

  test("that refuses stream_options is told from other refusals", () => {
    expect(refusesStreamOptions(of(400, "Unrecognized request argument supplied: stream_options"))).toBe(
      true,
    );
    expect(refusesStreamOptions(of(400, "context length exceeded"))).toBe(false);
    expect(refusesStreamOptions(of(500, "stream_options"))).toBe(false);
  });
});

test("a request that is refused for another field says nothing about stream_options", async () => {
  const asked: { stream_options?: object; messages: { content: string }[] }[] = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const piece of request) body += piece;
    asked.push(JSON.parse(body));
    if (asked.at(-1)?.messages[0]?.content !== "odd")
      return response.end(`${delta("fine", "stop")}${usage(7, 1)}${DONE}`);
    response.writeHead(400, { "content-type": "application/json" });
    response.end(JSON.stringify({ error: { message: "unknown field: min_p" } }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const { model } = openaiEndpoint({ name: "m", baseUrl: `http://127.0.0.1:${port}/v1` });
  const run = { signal: new AbortController().signal, attempt: 1, onText: () => {} };
  const ask = (content: string) => model.run(jobOf({ messages: [{ role: "user", content }] }), run);
  await expect(ask("odd")).rejects.toMatchObject({ code: "model.rejected" });
  expect((await ask("plain")).usage.inputTokens).toBe(7);
  expect(asked.map((each) => each.stream_options !== undefined)).toEqual([true, false, true]);
  server.closeAllConnections();
  server.close();
});

test("patience leaves time for another try, and ends with its caller", async () => {
  const caller = new AbortController();
  const patience = new Patience(caller.signal, 100);
  patience.arm("first");
  await new Promise((resolve) => patience.signal.addEventListener("abort", resolve));
  expect(asJetclawError(patience.signal.reason).detail).toBe("no first token within 45 ms");
  const other = new Patience(caller.signal, 60_000);
  caller.abort("stopped");
  expect(other.signal.reason).toBe("stopped");
  for (const each of [patience, other]) each.end();
});

test("a caller without time takes a model from nobody: its silence counts where it was long, or is the model's own measure", async () => {
  vi.useFakeTimers();
  try {
    const counts = (phase: "first" | "whole", leftMs: number, timeouts = {}): boolean => {
      const patience = new Patience(new AbortController().signal, leftMs, timeouts);
      patience.arm(phase);
      vi.advanceTimersByTime(leftMs);
      patience.end();
      return isFault(failureOf(patience.signal.reason)) && isCongestion(failureOf(patience.signal.reason));
    };
    expect([1_000, 5_000, 13_000, 60_000].map((ms) => counts("first", ms))).toEqual([
      false,
      false,
      true,
      true,
    ]);
    expect([1_000, 13_000, 15_000, 60_000].map((ms) => counts("whole", ms))).toEqual([
      false,
      false,
      true,
      true,
    ]);
    expect(counts("first", 1_000, { firstTokenMs: 200 })).toBe(true);
  } finally {
    vi.useRealTimers();
  }
});
