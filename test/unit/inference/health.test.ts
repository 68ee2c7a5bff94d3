// What a worker counts about a model, and how the words of several workers become one.
import { describe, expect, test } from "vitest";
import { ModelFailure } from "#actors/inference/failure.ts";
import { together } from "#actors/inference/health.ts";
import { Member } from "#actors/inference/member.ts";
import { Stats } from "#actors/inference/stats.ts";
import type { ModelHealth } from "#contracts/load.ts";
import { systemClock } from "#runtime/clock.ts";
import { jobOf } from "#test/harness/inference.ts";

const NOW = 1_800_000_000_000;
const sample = (change: object = {}) => ({
  at: NOW,
  failed: false,
  firstTokenMs: 100,
  totalMs: 1_000,
  outputTokens: 50,
  ...change,
});

describe("figures of the last requests", () => {
  test("are medians of what was answered, rates over ten seconds, and the share that failed", () => {
    const stats = new Stats();
    for (let i = 0; i < 10; i++) stats.add(sample({ at: NOW + i * 1_000, firstTokenMs: 100 + i }));
    stats.add(sample({ at: NOW + 9_500, failed: true, firstTokenMs: 9_999, outputTokens: 0 }));
    const figures = stats.figures(NOW + 10_000);
    expect(figures.firstTokenMs).toBe(105);
    expect(figures.errorShare).toBeCloseTo(1 / 11);
    expect(figures.requestsPerSecond).toBeCloseTo(1.1);
    expect(figures.tokensPerSecond).toBeCloseTo(50);
  });

  test("are forgotten: a model that was slow a while ago may be fast now", () => {
    const stats = new Stats();
    for (let i = 0; i < 1_000; i++) stats.add(sample({ firstTokenMs: 5_000 }));
    expect(stats.figures(NOW + 61_000)).toEqual({
      firstTokenMs: 0,
      totalMs: 0,
      tokensPerSecond: 0,
      requestsPerSecond: 0,
      errorShare: 0,
    });
  });
});

describe("a model of a worker", () => {
  const memberOf = (run: () => Promise<never>) =>
    new Member(
      { price: undefined, concurrency: 10, model: { name: "m", provider: "test", run } },
      systemClock,
    );
  const ask = (member: Member, signal = new AbortController().signal) =>
    member.ask(jobOf(), { signal, attempt: 1, onText() {} }).catch((error: unknown) => error);

  test("gets fewer requests after a limit, and keeps its breaker closed: it is not ill", async () => {
    const member = memberOf(() => Promise.reject(new ModelFailure("limited", "HTTP 429")));
    for (let i = 0; i < 5; i++) await ask(member);
    expect(member.breaker).toBe("closed");
    expect(member.limit).toBeLessThan(10);
    expect(member.health()).toMatchObject({ inFlight: 0, errorShare: 0 });
  });

  test("says when its breaker changes, and a request that its user stopped says nothing about it", async () => {
    const stopped = new AbortController();
    stopped.abort("stopped");
    const member = memberOf(() => Promise.reject(new ModelFailure("failed", "HTTP 500")));
    const states: string[] = [];
    member.onChange = () => void states.push(member.breaker);
    for (let i = 0; i < 5; i++) await ask(member, stopped.signal);
    expect(member.breaker).toBe("closed");
    for (let i = 0; i < 3; i++) await ask(member);
    expect(states).toEqual(["open"]);
    expect(member.readyAt(Date.now())).toBeGreaterThan(Date.now());
  });
});

test("a model that drips until the deadline is too slow; one that was asked late, or stopped, is not", async () => {
  for (const [reason, ranMs, state] of [
    ["deadline", 20_000, "open"],
    ["deadline", 2_000, "closed"],
    ["stopped", 20_000, "closed"],
  ] as const) {
    let now = NOW;
    const ending = new AbortController();
    const run = async (): Promise<never> => {
      now += ranMs;
      ending.abort(reason);
      throw ending.signal.reason;
    };
    const member = new Member(
      { price: undefined, concurrency: 10, model: { name: "m", provider: "test", run } },
      { ...systemClock, now: () => now },
    );
    for (let i = 0; i < 3; i++)
      await expect(member.ask(jobOf(), { signal: ending.signal, attempt: 1, onText() {} })).rejects.toBe(
        reason,
      );
    expect(member.breaker).toBe(state);
  }
});

describe("the health of a pool", () => {
  const health = (change: Partial<ModelHealth> = {}): ModelHealth => ({
    pool: "p",
    model: "m",
    worker: "w1",
    at: NOW,
    lifetimeMs: 8_000,
    breaker: "closed",
    inFlight: 1,
    limit: 8,
    firstTokenMs: 100,
    totalMs: 1_000,
    tokensPerSecond: 50,
    requestsPerSecond: 1,
    errorShare: 0,
    ...change,
  });

  test("is unknown while no worker has said anything", () => {
    expect(together([])).toBeUndefined();
  });

  test("adds up rates and room, weighs times by who saw how much, and counts no room behind an open breaker", () => {
    const busy = health({ requestsPerSecond: 3, firstTokenMs: 500 });
    const idle = health({ worker: "w2", requestsPerSecond: 0, firstTokenMs: 0 });
    const open = health({ worker: "w3", breaker: "open", requestsPerSecond: 1, errorShare: 1 });
    expect(together([[busy, idle, open]])).toMatchObject({
      workers: 3,
      breaker: "closed",
      limit: 16,
      inFlight: 3,
      firstTokenMs: 400,
      requestsPerSecond: 4,
      errorShare: 0.25,
    });
  });

  test("of a model is what most workers see, in doubt the worse; of a pool that of its best model", () => {
    const open = health({ breaker: "open" });
    const closed = health({ worker: "w2" });
    expect(together([[open, closed]])?.breaker).toBe("open");
    expect(together([[open, closed, { ...closed, worker: "w3" }]])?.breaker).toBe("closed");
    expect(together([[open], [{ ...closed, model: "other" }]])?.breaker).toBe("closed");
  });
});
