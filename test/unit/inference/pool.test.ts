// Which model of a pool serves a job, and what happens when it fails.
import { describe, expect, test } from "vitest";
import { ModelFailure } from "#actors/inference/failure.ts";
import { Member } from "#actors/inference/member.ts";
import type { PooledModel } from "#actors/inference/models/registry.ts";
import { ModelPool } from "#actors/inference/pool.ts";
import type { ModelRun } from "#actors/inference/port.ts";
import { JetclawError } from "#contracts/errors.ts";
import { attemptOf, attemptsUpTo } from "#contracts/job.ts";
import { NO_USAGE } from "#contracts/usage.ts";
import { systemClock } from "#runtime/clock.ts";
import { jobOf } from "#test/harness/inference.ts";

type Behaviour = "answers" | "fails" | "rejects" | "is not let in" | "speaks and fails";
const asked: string[] = [];
/** Text and restarts in their order. */
let heard = "";

function model(name: string, behave: Behaviour | (() => Behaviour)): PooledModel {
  return {
    price: undefined,
    concurrency: 2,
    model: {
      name,
      provider: "test",
      async run(_, { onText }: ModelRun) {
        asked.push(name);
        const behaviour = typeof behave === "string" ? behave : behave();
        if (behaviour === "rejects") throw new JetclawError("model.rejected");
        if (behaviour === "is not let in") throw new ModelFailure("unauthorized", "HTTP 401");
        if (behaviour === "fails") throw new JetclawError("model.unavailable");
        onText("some");
        if (behaviour === "speaks and fails") throw new JetclawError("model.unavailable");
        return { text: "some", citations: [], usage: NO_USAGE, finish: "stop" };
      },
    },
  };
}

/** Waiting takes no time: the clock stands still and jumps. */
const NOW = Date.now();
let skippedMs = 0;
const clock = {
  ...systemClock,
  now: () => NOW + skippedMs,
  sleep: async (ms: number) => {
    skippedMs += ms;
  },
};
async function serve(
  models: PooledModel[],
  job = jobOf(),
  pool = new ModelPool(models, clock),
): Promise<string> {
  asked.length = 0;
  skippedMs = 0;
  heard = "";
  const onText = (text: string): void => {
    heard += text;
  };
  const run = { signal: new AbortController().signal, attempt: 1, onText };
  const onRestart = (): number => {
    heard += "|2|";
    return 2;
  };
  const outcome = await pool.run(job, run, { onTry() {}, onFailure() {}, onWait() {}, onRestart }).then(
    () => "answered",
    (error: unknown) => (error as JetclawError).code,
  );
  return `${asked.join(" ")}: ${outcome}`;
}

describe("a pool", () => {
  test("asks its first model, or the one the job names", async () => {
    const models = [model("a", "answers"), model("b", "answers")];
    expect(await serve(models)).toBe("a: answered");
    expect(await serve(models, jobOf({ model: "b" }))).toBe("b: answered");
    expect(await serve(models, jobOf({ model: "unknown" }))).toBe("a: answered");
  });

  test("goes on to the next model at once, and asks everybody again, a few times, when all failed", async () => {
    expect(await serve([model("a", "fails"), model("b", "answers")])).toBe("a b: answered");
    let fails = 2;
    const flaky = model("a", () => (fails-- > 0 ? "fails" : "answers"));
    expect(await serve([flaky])).toBe("a a a: answered");
    expect(await serve([model("a", "fails"), model("b", "fails")])).toMatch(
      /^a b( a| b){2,16}: model.unavailable$/,
    );
  });

  test("goes along the fallback list when its own models fail, and shares what is known about them", async () => {
    const spare = new Member(model("spare", "answers"), clock);
    const pool = new ModelPool([model("a", "fails"), model("b", "fails")], clock, [[spare]]);
    expect(await serve([], jobOf(), pool)).toBe("a b spare: answered");
    for (let i = 0; i < 2; i++) await serve([], jobOf(), pool);
    expect(await serve([], jobOf(), pool)).toBe("spare: answered");
    expect(spare.health()).toMatchObject({ breaker: "closed", inFlight: 0 });
  });

  test("begins anew under the next attempt after a first token, and keeps to what the request is refused for", async () => {
    expect(await serve([model("a", "speaks and fails"), model("b", "answers")])).toBe("a b: answered");
    expect(heard).toBe("some|2|some");
    expect(await serve([model("a", "rejects"), model("b", "answers")])).toBe("a: model.rejected");
  });

  test("an answer does not begin anew without end", async () => {
    expect(await serve([model("a", "speaks and fails"), model("b", "speaks and fails")])).toBe(
      "a b a b: model.unavailable",
    );
  });

  test("a model whose key is refused is left for the next one, and never asked again by that job", async () => {
    expect(await serve([model("a", "is not let in"), model("b", "answers")])).toBe("a b: answered");
    expect(await serve([model("a", "is not let in")])).toBe("a: model.rejected");
  });

  test("does not begin a try that cannot end in time", async () => {
    expect(await serve([model("a", "fails")], jobOf({ deadline: NOW + 300 }))).toBe("a: model.unavailable");
    expect(await serve([model("a", "answers")], jobOf({ deadline: NOW + 200 }))).toBe(": model.unavailable");
  });

  test("whole answers say nothing of the first token: who streams is asked with less time, and routers see no slow model", async () => {
    let now = NOW;
    const slow = model("a", () => {
      now += 20_000;
      return "answers";
    });
    const pool = new ModelPool([slow], { ...clock, now: () => now });
    const chat = { options: {} };
    const ask = (stream: boolean, ms: number): Promise<string> =>
      serve([], jobOf({ stream, chat, deadline: now + ms }), pool);
    for (let i = 0; i < 3; i++) expect(await ask(false, 60_000)).toBe("a: answered");
    expect(await ask(false, 10_000)).toBe(": model.unavailable");
    expect(pool.members[0]?.health().firstTokenMs).toBe(0);
    expect(await ask(true, 10_000)).toBe("a: answered");
  });

  test("long answers say nothing of what a short one takes that is asked for whole", async () => {
    let now = NOW;
    let tookMs = 40_000;
    const slow = model("a", () => {
      now += tookMs;
      return "answers";
    });
    const pool = new ModelPool([slow], { ...clock, now: () => now });
    const ask = (stream: boolean, ms: number): Promise<string> =>
      serve([], jobOf({ stream, chat: { options: {} }, deadline: now + ms }), pool);
    for (let i = 0; i < 3; i++) expect(await ask(true, 60_000)).toBe("a: answered");
    tookMs = 2_000;
    expect(await ask(false, 30_000)).toBe("a: answered");
    tookMs = 15_000;
    for (let i = 0; i < 2; i++) expect(await ask(false, 60_000)).toBe("a: answered");
    tookMs = 2_000;
    expect(await ask(false, 5_000)).toBe("a: answered");
  });

  test("passes over a model whose breaker is open, and runs as much as the others let through", async () => {
    const models = [model("a", "fails"), model("b", "answers")];
    const pool = new ModelPool(models, clock);
    expect(pool.capacity).toBe(4);
    for (let i = 0; i < 3; i++) expect(await serve(models, jobOf(), pool)).toBe("a b: answered");
    expect(await serve(models, jobOf(), pool)).toBe("b: answered");
    expect(pool.capacity).toBe(2);
    expect(pool.members[0]?.breaker).toBe("open");
  });
});

test("numbers of attempts grow over restarts and redeliveries, and tell how many there were", () => {
  expect([attemptOf(1, 0), attemptOf(1, 1), attemptOf(2, 0), attemptOf(3, 2)]).toEqual([1, 2, 11, 23]);
  for (let delivery = 1; delivery < 6; delivery++)
    expect(attemptOf(delivery, 99)).toBeLessThan(attemptOf(delivery + 1, 0));
  expect([0, 1, 2, 11, 23].map(attemptsUpTo)).toEqual([0, 1, 2, 2, 5]);
});
