// What a router reads of the deployment: the level at once, the health of a model a moment old.
import { expect, test } from "vitest";
import type { PoolHealth } from "#actors/inference/port.ts";
import { PolicyRouter } from "#actors/routing/router.ts";
import { liveSignals } from "#actors/routing/signals.ts";
import { configSchema } from "#contracts/config.ts";
import type { Level } from "#contracts/level.ts";

test("a router follows level and breakers as they change, and asks for each model once a moment", () => {
  const config = configSchema.parse({
    pools: {
      large: { models: [{ name: "big", provider: "echo" }], fallback: ["small"], degradeTo: "small" },
      small: { models: [{ name: "mini", provider: "echo" }] },
    },
  });
  let level: Level = 0;
  let breaker: PoolHealth["breaker"] = "closed";
  let now = 0;
  let asked = 0;
  const signals = liveSignals(
    { level: () => level },
    {
      of(_, model) {
        asked++;
        if (model !== "big") return undefined;
        return { breaker, firstTokenMs: 0 } as PoolHealth;
      },
    },
    () => now,
  );
  const router = new PolicyRouter(config, signals);
  const pool = () =>
    router.route({
      tenant: "t",
      assistant: "a",
      policy: "auto",
      question: "q",
      locale: "en",
      channel: "web",
      cls: "new",
    }).pool;
  expect(pool()).toBe("large");
  const once = asked;
  expect(pool()).toBe("large");
  expect(asked).toBe(once);
  level = 1;
  expect(pool()).toBe("small");
  level = 0;
  breaker = "open";
  now = 501;
  expect(pool()).toBe("small");
});
