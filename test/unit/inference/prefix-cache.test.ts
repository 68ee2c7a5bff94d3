// The simulator's memory of prompts: what a growing conversation saves, on one server and not on another.
import { describe, expect, test } from "vitest";
import { parseFlags } from "#ops/simulator/main.ts";
import { PrefixCache } from "#ops/simulator/prefix-cache.ts";
import { startSimulator } from "#ops/simulator/server.ts";

const say = (...contents: string[]) =>
  contents.map((content, n) => ({ role: n % 2 === 0 ? "user" : "assistant", content }));

describe("prefix cache", () => {
  test("knows the beginning that a prompt shares with an earlier one of the same model", () => {
    const cache = new PrefixCache();
    cache.remember("m", say("a", "b", "c"), 10);
    expect(cache.cachedMessages("m", say("a", "b", "c", "d"))).toBe(3);
    expect(cache.cachedMessages("m", say("a", "b", "x"))).toBe(2);
    expect(cache.cachedMessages("m", say("b"))).toBe(0);
    expect(cache.cachedMessages("other", say("a"))).toBe(0);
  });

  test("forgets what was not used longest, the ends of conversations before their beginnings", () => {
    const cache = new PrefixCache();
    cache.remember("m", say("a", "b"), 3);
    cache.remember("m", say("c", "d"), 3);
    expect(cache.cachedMessages("m", say("c", "d"))).toBe(2);
    expect(cache.cachedMessages("m", say("a", "b"))).toBe(1);
  });

  test("a second turn costs prefill only for what is new, and says so in usage and on the bill", async () => {
    const simulator = await startSimulator({ prefixCache: 100, prefillMsPer1kTokens: 200 });
    const ask = async (messages: ReturnType<typeof say>) => {
      const from = performance.now();
      const response = await fetch(`${simulator.baseUrl}/chat/completions`, {
        method: "POST",
        body: JSON.stringify({ model: "m", messages }),
      });
      const { choices, usage } = (await response.json()) as {
        choices: [{ message: { content: string } }];
        usage: { prompt_tokens: number; prompt_tokens_details: { cached_tokens: number } };
      };
      return { ms: performance.now() - from, reply: choices[0].message.content, usage };
    };
    try {
      const long = "word ".repeat(800);
      const first = await ask(say(long));
      expect(first.ms).toBeGreaterThan(190);
      expect(first.usage).toMatchObject({
        prompt_tokens: 1_000,
        prompt_tokens_details: { cached_tokens: 0 },
      });
      const known = Math.ceil((long.length + first.reply.length) / 4);
      const second = await ask(say(long, first.reply, "and then?"));
      expect(second.usage.prompt_tokens_details.cached_tokens).toBe(known);
      expect(simulator.bill()).toMatchObject([{ cachedTokens: 0 }, { cachedTokens: known }]);
    } finally {
      await simulator.close();
    }
  });

  test("is off unless asked for", () => {
    expect(parseFlags(["--prefix-cache", "5", "--prefill-ms-per-1k-tokens", "80"])).toMatchObject({
      prefixCache: 5,
      prefillMsPer1kTokens: 80,
    });
  });
});
