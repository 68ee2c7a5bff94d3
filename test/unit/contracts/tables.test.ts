// Errors, limits, usage and configuration: tables and shapes that other parts rely on without looking.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type ConfigInput, configSchema, env } from "#contracts/config.ts";
import { asJetclawError, ERRORS, type ErrorCode, JetclawError } from "#contracts/errors.ts";
import { decodeKnowledgeEvent, encodeKnowledgeEvent } from "#contracts/knowledge.ts";
import { LIMITS } from "#contracts/limits.ts";
import { eventId, parseEventId } from "#contracts/turn.ts";
import { addUsage, costOf, NO_USAGE, type Usage } from "#contracts/usage.ts";

describe("an error", () => {
  test.each(Object.entries(ERRORS))("%s has a status, a sentence and a next step", (code, entry) => {
    expect(code).toMatch(/^[a-z]+\.[a-z-]+$/);
    expect(entry.status).toBeGreaterThanOrEqual(400);
    expect(entry.status).toBeLessThan(600);
    expect(entry.text).toMatch(/^[A-Z].*\.$/);
    expect(entry.next).toMatch(/^[A-Z].*\.$/);
  });

  test("that asks to slow down may be tried later, and one that blames the caller never", () => {
    for (const [code, { status, retry }] of Object.entries(ERRORS)) {
      if (status === 429 || status === 503) expect([code, retry]).toEqual([code, "later"]);
      if ([400, 401, 403, 404, 413, 415].includes(status)) expect([code, retry]).toEqual([code, "never"]);
    }
  });

  test("keeps its cause for the log and its detail for the caller; anything else thrown is our bug", () => {
    const cause = new Error("socket closed");
    const known = new JetclawError("nats.unavailable", "try later", { cause });
    expect(asJetclawError(known)).toBe(known);
    expect(known).toMatchObject({
      status: 503,
      retry: "later",
      cause,
      message: "nats.unavailable: try later",
    });
    const unknown = asJetclawError(cause);
    expect(unknown.code satisfies ErrorCode).toBe("internal.bug");
    expect(unknown.message).not.toContain("socket");
  });
});

describe("limits", () => {
  test("a thing fits what carries it", () => {
    expect(LIMITS.bodyBytes).toBeLessThan(LIMITS.envelopeBytes);
    expect(LIMITS.envelopeBytes).toBeLessThan(LIMITS.payloadBytes);
    expect(LIMITS.stateBytes + LIMITS.processedIds * LIMITS.idChars).toBeLessThan(LIMITS.payloadBytes);
    expect(LIMITS.mailboxMessages).toBeLessThan(LIMITS.processedIds);
    expect(LIMITS.burstMessages).toBeLessThanOrEqual(LIMITS.mailboxMessages);
  });

  test("a wait outlives what it waits for", () => {
    expect(LIMITS.suspectMs).toBeGreaterThanOrEqual(3 * LIMITS.heartbeatMs);
    expect(LIMITS.inboundAckWaitMs).toBeGreaterThan(LIMITS.turnDeadlineMs);
    expect(LIMITS.tokensAgeMs).toBeGreaterThan(LIMITS.turnDeadlineMs);
    expect(LIMITS.tombstoneAgeMs).toBeGreaterThan(LIMITS.deadLetterAgeMs);
  });
});

describe("the cost of usage", () => {
  const tokens = fc.nat({ max: 1_000_000 });
  const usage: fc.Arbitrary<Usage> = fc.record({
    inputTokens: tokens,
    outputTokens: tokens,
    cachedInputTokens: fc.option(tokens, { nil: undefined }) as fc.Arbitrary<number>,
  });
  const price = fc.record({
    inputPerMTok: fc.double({ min: 0, max: 100, noNaN: true }),
    outputPerMTok: fc.double({ min: 0, max: 100, noNaN: true }),
    cachedInputPerMTok: fc.double({ min: 0, max: 100, noNaN: true }),
  });

  test("is what the price list says", () => {
    const paid = { inputTokens: 1_000, outputTokens: 500, cachedInputTokens: 400 };
    expect(costOf(paid, { inputPerMTok: 2, outputPerMTok: 8, cachedInputPerMTok: 0.5 })).toBeCloseTo(
      0.0054,
      10,
    );
    expect(costOf(paid, { inputPerMTok: 2, outputPerMTok: 8 })).toBeCloseTo(0.006, 10);
    expect(costOf(NO_USAGE, { inputPerMTok: 2, outputPerMTok: 8 })).toBe(0);
  });

  test("is never negative, also for a provider that counts cached tokens beside the input", () => {
    fc.assert(fc.property(usage, price, (u, p) => void expect(costOf(u, p)).toBeGreaterThanOrEqual(0)));
  });

  test("adds up: attempts cost what their sum costs", () => {
    const inside = usage.filter((u) => (u.cachedInputTokens ?? 0) <= u.inputTokens);
    fc.assert(
      fc.property(inside, inside, price, (a, b, p) => {
        expect(costOf(addUsage(a, b), p)).toBeCloseTo(costOf(a, p) + costOf(b, p), 6);
      }),
    );
  });
});

describe("the configuration", () => {
  const pools = { small: { models: [{ name: "gpt-small", apiKey: env("OPENAI_API_KEY") }] } };

  test("of nothing is valid and has every default", () => {
    expect(configSchema.parse({})).toMatchObject({ assistants: {}, pools: {}, responseCache: true });
  });

  test("of a shop is taken, and secrets stay references", () => {
    const input: ConfigInput = {
      assistants: { shop: { instructions: { en: "Help.", nl: "Help." }, knowledge: ["shop"] } },
      pools,
    };
    const config = configSchema.parse(input);
    expect(config.assistants.shop).toMatchObject({ model: "auto", tools: [] });
    expect(config.pools.small?.models[0]).toMatchObject({
      provider: "openai",
      concurrency: 8,
      apiKey: { env: "OPENAI_API_KEY" },
    });
  });

  test.each([
    ["a misspelt key", { assistant: {} }, /assistant/],
    ["a misspelt key of an assistant", { assistants: { a: { instruction: "x" } } }, /instruction/],
    ["a pool without models", { pools: { p: { models: [] } } }, /models/],
    [
      "a fallback to nowhere",
      { pools: { ...pools, big: { ...pools.small, fallback: ["huge"] } } },
      /there is no pool .*huge/,
    ],
    ["a name with a space", { pools: { "a b": pools.small } }, /letters, digits/],
    [
      "a base URL that is a file",
      { pools: { p: { models: [{ name: "m", baseUrl: "file:///etc/passwd" }] } } },
      /baseUrl/,
    ],
    [
      "a negative price",
      { pools: { p: { models: [{ name: "m", price: { inputPerMTok: -1, outputPerMTok: 1 } }] } } },
      /inputPerMTok/,
    ],
    ["three shards", { shards: 3 }, /shards/],
    ["two replicas", { replicas: 2 }, /replicas/],
    ["a deadline that a lost leader outlives", { turnDeadlineMs: 1_000 }, /turnDeadlineMs/],
    [
      "a batch API for a model that has none",
      { pools: { p: { models: [{ name: "m", provider: "kb-extract", batch: { mode: "offline" } }] } } },
      /no batch API/,
    ],
    [
      "batches that no job has the time for",
      { pools: { p: { models: [{ name: "m", batch: { mode: "offline" } }] } } },
      /set deferredDeadlineMs/,
    ],
    [
      "a wait that is no option of a batch API's mode",
      {
        deferredDeadlineMs: 86_400_000,
        pools: { p: { models: [{ name: "m", batch: { mode: "offline", maxWaitMs: -1 } }] } },
      },
      /maxWaitMs/,
    ],
    ["a tenant that is no id", { budgets: { "a b": { usdPerDay: 1 } } }, /budgets/],
  ])("with %s is refused with the key in the message", (_, input, message) => {
    const parsed = configSchema.safeParse(input);
    expect(parsed.success).toBe(false);
    expect(JSON.stringify(parsed.error?.issues)).toMatch(message);
  });
});

describe("the id of an event", () => {
  test("reads back as turn, attempt and number", () => {
    const n = fc.nat({ max: 999_999_999 });
    fc.assert(
      fc.property(n, n, n, (turn, attempt, number) => {
        expect(parseEventId(eventId({ turn, attempt, number }))).toEqual({ turn, attempt, number });
      }),
    );
  });

  test.each(["", "1", "1.2", "1.2.3.4", "-1.0.0", "1.0.x", "1e3.0.0", `${"9".repeat(30)}.0.0`])(
    "%j is none",
    (id) => {
      expect(parseEventId(id)).toBeUndefined();
    },
  );
});

test("an event of knowledge comes back as it went in; other bytes are skipped, not thrown at the reader", () => {
  const event = {
    v: 1 as const,
    tenant: "demo",
    collection: "shop",
    document: "a.b",
    deleted: false,
    title: "T",
    text: "x",
    at: 5,
    locale: "nl",
  };
  expect(decodeKnowledgeEvent(encodeKnowledgeEvent(event))).toEqual(event);
  expect(decodeKnowledgeEvent(encodeKnowledgeEvent({ ...event, tenant: "a b" }))).toBeUndefined();
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 64 }),
      (bytes) => void expect(decodeKnowledgeEvent(bytes)).toBeUndefined(),
    ),
  );
});
