// Which model of a pool serves a job, and what happens when it fails.
import { describe, expect, test } from "vitest";
import type { PooledModel } from "#actors/inference/models/registry.ts";
import { ModelPool } from "#actors/inference/pool.ts";
import type { ModelRun } from "#actors/inference/port.ts";
import { JetclawError } from "#contracts/errors.ts";
import { NO_USAGE } from "#contracts/usage.ts";
import { systemClock } from "#runtime/clock.ts";
import { jobOf } from "#test/harness/inference.ts";

type Behaviour = "answers" | "fails" | "rejects" | "speaks and fails";
const asked: string[] = [];

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
        if (behaviour === "fails") throw new JetclawError("model.unavailable");
        onText("some");
        if (behaviour === "speaks and fails") throw new JetclawError("model.unavailable");
        return { text: "some", citations: [], usage: NO_USAGE, finish: "stop" };
      },
    },
  };
}

const clock = { ...systemClock, sleep: async () => {} };
async function serve(
  models: PooledModel[],
  job = jobOf(),
  pool = new ModelPool(models, clock),
): Promise<string> {
  asked.length = 0;
  const run = { signal: new AbortController().signal, attempt: 1, onText: () => {} };
  const outcome = await pool.run(job, run, { onTry() {}, onFailure() {} }).then(
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

  test("goes on to the next model, and asks the best once more when all failed", async () => {
    expect(await serve([model("a", "fails"), model("b", "answers")])).toBe("a b: answered");
    expect(await serve([model("a", "fails"), model("b", "fails")])).toBe("a b a: model.unavailable");
    expect(await serve([model("a", "fails")])).toBe("a a: model.unavailable");
  });

  test("tries nothing again after a first token or a refusal", async () => {
    expect(await serve([model("a", "speaks and fails"), model("b", "answers")])).toBe("a: model.unavailable");
    expect(await serve([model("a", "rejects"), model("b", "answers")])).toBe("a: model.rejected");
  });

  test("does not retry when the deadline leaves no time", async () => {
    expect(await serve([model("a", "fails")], jobOf({ deadline: Date.now() + 100 }))).toBe(
      "a: model.unavailable",
    );
  });

  test("passes over a model that failed three times in a row", async () => {
    const models = [model("a", "fails"), model("b", "answers")];
    const pool = new ModelPool(models, clock);
    for (let i = 0; i < 3; i++) expect(await serve(models, jobOf(), pool)).toBe("a b: answered");
    expect(await serve(models, jobOf(), pool)).toBe("b: answered");
  });
});
