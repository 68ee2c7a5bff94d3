// Several addresses and keys of one model: who is asked, who rests for how long, and what providers say about it.
import { describe, expect, test } from "vitest";
import { type FailureReason, failureOf, ModelFailure } from "#actors/inference/failure.ts";
import { rotating } from "#actors/inference/models/endpoints.ts";
import { restOf, timeOf, usedUp } from "#actors/inference/models/rate-limits.ts";
import type { Model } from "#actors/inference/port.ts";
import type { Job } from "#contracts/job.ts";
import { NO_USAGE } from "#contracts/usage.ts";
import { systemClock } from "#runtime/clock.ts";
import { jobOf } from "#test/harness/inference.ts";

type Behaviour = "answers" | FailureReason | ModelFailure | "speaks and fails";

/** A model of two or more endpoints, and a clock that a test moves. */
function modelOf(behaviours: Record<string, Behaviour>) {
  let asked: string[] = [];
  let now = Date.now();
  const clock = { ...systemClock, now: () => now, random: () => 0.5 };
  const tell: Record<string, (ms: number) => void> = {};
  const model: Model = rotating(
    "m",
    Object.keys(behaviours).map((id) => ({
      id,
      concurrency: 2,
      onUsedUp(tells) {
        tell[id] = tells;
      },
      model: {
        name: "m",
        provider: "test",
        async run(_, { onText }) {
          asked.push(id);
          const behaviour = behaviours[id];
          if (behaviour instanceof ModelFailure) throw behaviour;
          if (behaviour === "speaks and fails") {
            onText("half");
            throw new ModelFailure("failed", "cut");
          }
          if (behaviour !== "answers" && behaviour) throw new ModelFailure(behaviour, behaviour);
          return { text: "t", citations: [], usage: NO_USAGE, finish: "stop" };
        },
      },
    })),
    clock,
  );
  const job = jobOf({ deadline: now + 3_600_000 });
  return {
    behaviours,
    model,
    tell,
    pass(ms: number) {
      now += ms;
    },
    readyInMs: () => Math.max(0, (model.readyAt?.() ?? 0) - now),
    async ask(each: Job = job): Promise<string> {
      asked = [];
      const run = { signal: new AbortController().signal, attempt: 1, onText: () => {} };
      const outcome = await model.run(each, run).then(
        () => "answered",
        (error: unknown) => failureOf(error).reason,
      );
      return `${[...asked].join(" ")}: ${outcome}`;
    },
  };
}

describe("endpoints", () => {
  test("a limited one rests for as long as it says, and the next one answers at once", async () => {
    const { behaviours, ask, pass } = modelOf({ a: "answers", b: "answers" });
    const home = (await ask()).startsWith("a") ? "a" : "b";
    const other = home === "a" ? "b" : "a";
    behaviours[home] = new ModelFailure("limited", "HTTP 429", 7_000);
    expect(await ask()).toBe(`${home} ${other}: answered`);
    behaviours[home] = "answers";
    pass(6_900);
    expect(await ask()).toBe(`${other}: answered`);
    pass(200);
    expect(await ask()).toBe(`${home}: answered`);
  });

  test("a refused key rests for long; only when every key is refused the model is", async () => {
    const { behaviours, ask, pass } = modelOf({ a: "unauthorized", b: "unauthorized" });
    expect(await ask()).toMatch(/^(a b|b a): unauthorized$/);
    pass(60_000);
    expect(await ask()).toBe(": unauthorized");
    pass(300_000);
    behaviours.b = "answers";
    expect(await ask()).toMatch(/b: answered$/);
    pass(60_000);
    expect(await ask()).toBe("b: answered");
  });

  test("a key that has worked is not given up for one refusal, which may have been about one request", async () => {
    for (const reason of ["unauthorized", "exhausted"] as const) {
      const { behaviours, ask, pass, readyInMs } = modelOf({ a: "answers" });
      await ask();
      behaviours.a = reason;
      const rests: number[] = [];
      for (let i = 0; i < 12; i++) {
        expect(await ask()).toBe(`a: ${reason}`);
        rests.push(readyInMs());
        pass(readyInMs());
      }
      expect(rests.slice(0, 3)).toEqual([1_000, 2_000, 4_000]);
      expect(rests.at(-1)).toBe(300_000);
      behaviours.a = "answers";
      expect(await ask()).toBe("a: answered");
      behaviours.a = reason;
      await ask();
      expect(readyInMs()).toBe(1_000);
    }
  });

  test("while all rest nobody is asked, and the model says when it is worth asking", async () => {
    const limited = new ModelFailure("limited", "HTTP 429", 5_000);
    const { ask, readyInMs } = modelOf({ a: limited, b: new ModelFailure("limited", "HTTP 429", 3_000) });
    expect(await ask()).toMatch(/^(a b|b a): limited$/);
    expect(await ask()).toBe(": limited");
    expect(readyInMs()).toBe(3_000);
  });

  test("with a refused key and a limited one the model is limited, not refused", async () => {
    const { ask } = modelOf({ a: "unauthorized", b: new ModelFailure("limited", "HTTP 429", 3_000) });
    expect(await ask()).toMatch(/: limited$/);
    expect(await ask()).toBe(": limited");
  });

  test("an empty account rests for minutes although its answer names no time", async () => {
    const { ask, readyInMs } = modelOf({ a: "exhausted" });
    expect(await ask()).toBe("a: exhausted");
    expect(readyInMs()).toBe(300_000);
  });

  test("a limit without a named time rests for longer each time", async () => {
    const { ask, pass, readyInMs } = modelOf({ a: "limited" });
    const rests: number[] = [];
    for (let i = 0; i < 3; i++) {
      await ask();
      rests.push(readyInMs());
      pass(readyInMs());
    }
    expect(rests).toEqual([1_000, 2_000, 4_000]);
  });

  test("nothing is glued: after a first token no other endpoint is asked", async () => {
    const { ask } = modelOf({ a: "speaks and fails", b: "speaks and fails" });
    expect(await ask()).toMatch(/^[ab]: failed$/);
  });

  test("a request that is refused as such is not sent to the others", async () => {
    const { ask } = modelOf({ a: "refused", b: "refused" });
    expect(await ask()).toMatch(/^[ab]: refused$/);
  });

  test("one that is silent to hasty callers is asked last, for longer while it stays silent, and rests for nobody", async () => {
    const silent = new ModelFailure("timeout", "no first token within 900 ms");
    silent.uncounted = true;
    const { behaviours, ask, pass, readyInMs } = modelOf({ a: "answers", b: "answers" });
    const home = (await ask()).startsWith("a") ? "a" : "b";
    const other = home === "a" ? "b" : "a";
    behaviours[home] = silent;
    for (const ms of [500, 1_000, 2_000]) {
      expect(await ask()).toBe(`${home} ${other}: answered`);
      pass(ms - 1);
      expect(await ask()).toBe(`${other}: answered`);
      pass(1);
    }
    behaviours[other] = silent;
    expect(await ask()).toBe(`${home} ${other}: timeout`);
    expect(readyInMs()).toBe(0);
    behaviours[home] = "answers";
    behaviours[other] = "answers";
    expect(await ask()).toBe(`${home}: answered`);
    behaviours[home] = silent;
    pass(4_000);
    expect(await ask()).toBe(`${home} ${other}: answered`);
    pass(500);
    expect(await ask()).toBe(`${home} ${other}: answered`);
  });

  test("one whose limit is used up is asked last, but it is asked", async () => {
    const { behaviours, ask, tell, pass } = modelOf({ a: "answers", b: "answers" });
    tell.a?.(10_000);
    expect(await ask()).toBe("b: answered");
    behaviours.b = "failed";
    expect(await ask()).toBe("b a: answered");
    pass(11_000);
  });
});

describe("headers", () => {
  const NOW = Date.parse("2026-11-20T12:00:00Z");
  const headers = (values: Record<string, string>) => new Headers(values);

  test.each([
    ["7", 7_000],
    ["0.25", 250],
    ["20ms", 20],
    ["1m30s", 90_000],
    ["2m59.56s", 179_560],
    ["6m0s", 360_000],
    [String(NOW / 1_000 + 5), 5_000],
    [String(NOW + 5), 5],
    ["Fri, 20 Nov 2026 12:00:09 GMT", 9_000],
    ["2026-11-20T12:00:02Z", 2_000],
    ["Fri, 20 Nov 2020 12:00:09 GMT", 0],
    ["99999999", 3_600_000],
    ["soon", undefined],
    ["", undefined],
    ["-5", undefined],
    ["9".repeat(400), undefined],
  ])("the time %s", (text, ms) => {
    expect(timeOf(text, NOW)).toBe(ms);
  });

  test("retry-after-ms is believed before retry-after, and that before the reset of a limit", () => {
    const reset = { "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "12s" };
    expect(restOf(headers({ ...reset, "retry-after": "7", "retry-after-ms": "1500" }), NOW)).toBe(1_500);
    expect(restOf(headers({ ...reset, "retry-after": "7" }), NOW)).toBe(7_000);
    expect(restOf(headers(reset), NOW)).toBe(12_000);
    expect(restOf(headers({}), NOW)).toBeUndefined();
  });

  test("only a limit that is used up counts, in the spelling of any provider", () => {
    const left = { "x-ratelimit-remaining-tokens": "90", "x-ratelimit-reset-tokens": "50s" };
    expect(usedUp(headers(left), NOW)).toBeUndefined();
    const anthropic = {
      "anthropic-ratelimit-requests-remaining": "0",
      "anthropic-ratelimit-requests-reset": "2026-11-20T12:00:30Z",
    };
    expect(usedUp(headers({ ...left, ...anthropic }), NOW)).toBe(30_000);
  });
});
