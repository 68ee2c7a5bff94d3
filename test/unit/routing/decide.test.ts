// Laws of routing, over random configurations, conversations, levels and breakers; then each strategy by example.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decide, explain } from "#actors/routing/decide.ts";
import { policyOf } from "#actors/routing/policy.ts";
import type { ModelSignal, RouteFeatures, Signals } from "#actors/routing/port.ts";
import { configSchema, ROUTING_STRATEGIES } from "#contracts/config.ts";
import { LEVELS, type Level } from "#contracts/level.ts";
import { CLASSES } from "#contracts/subjects.ts";
import { routeDecisionSchema } from "#contracts/turn.ts";

// Names that an object would already know, among plain ones.
const NAMES = ["large", "small", "spare", "__proto__", "constructor"];
const name = fc.constantFrom(...NAMES);
const model = fc.constantFrom("m1", "m2", "m3", "auto", "toString");
const words = fc.constantFrom("refund", "the invoice", "geld terug", "", "退款", "!!!", "a".repeat(500));
const few = <T>(of: fc.Arbitrary<T>) => fc.option(fc.uniqueArray(of, { maxLength: 3 }), { nil: undefined });

const poolsOf = fc.uniqueArray(
  fc.record({
    name,
    tier: fc.option(fc.constantFrom("gold", "tin"), { nil: undefined }),
    models: fc.uniqueArray(model, { minLength: 1, maxLength: 3 }),
    fallback: fc.uniqueArray(name, { maxLength: 3 }),
    degradeTo: fc.option(name, { nil: undefined }),
  }),
  { minLength: 1, maxLength: NAMES.length, selector: (pool) => pool.name },
);

const rule = fc.record({
  pool: name,
  keywords: few(words),
  classes: few(fc.constantFrom(...CLASSES)),
  tenants: few(fc.constantFrom("t", "u")),
  minChars: fc.option(fc.nat(20), { nil: undefined }),
});

const policy = fc
  .record({
    pools: poolsOf,
    rules: fc.array(rule, { maxLength: 4 }),
    order: fc.option(fc.array(fc.constantFrom(...ROUTING_STRATEGIES), { minLength: 1, maxLength: 8 }), {
      nil: undefined,
    }),
  })
  .map(({ pools, rules, order }) => {
    const known = new Set(pools.map((pool) => pool.name));
    return policyOf({
      pools: Object.fromEntries(
        pools.map((pool) => [
          pool.name,
          {
            ...pool,
            models: pool.models.map((each) => ({ name: each, provider: "echo" as const, concurrency: 1 })),
            fallback: pool.fallback.filter((each) => known.has(each)),
            degradeTo: pool.degradeTo !== undefined && known.has(pool.degradeTo) ? pool.degradeTo : undefined,
          },
        ]),
      ),
      routing: {
        rules: rules.filter((each) => known.has(each.pool)).map(({ pool, ...when }) => ({ pool, when })),
        order,
      },
    });
  })
  // `__proto__` as a key of an object literal made from entries is an own property, but never the only pool.
  .filter(({ pools }) => pools.length > 0);

const features: fc.Arbitrary<RouteFeatures> = fc.record({
  tenant: fc.constantFrom("t", "u", "__proto__"),
  assistant: fc.constantFrom("shop", "desk"),
  policy: fc.oneof(name, model, fc.constant("auto"), fc.string()),
  question: fc.oneof(words, fc.string({ unit: "binary", maxLength: 60 })),
  locale: fc.constantFrom("en", "nl-BE", "", "__proto__"),
  channel: fc.constantFrom("web", "email"),
  cls: fc.constantFrom(...CLASSES),
  tier: fc.option(fc.constantFrom("gold", "tin", "gone", ...NAMES), { nil: undefined }),
  model: fc.option(model, { nil: undefined }),
});

const signal = fc.option(
  fc.record({
    breaker: fc.constantFrom("closed" as const, "half-open" as const, "open" as const),
    firstTokenMs: fc.nat(5_000),
  }),
  { nil: undefined },
);
const signals: fc.Arbitrary<Signals> = fc
  .record({ level: fc.constantFrom(...LEVELS), of: fc.array(signal, { minLength: 7, maxLength: 7 }) })
  .map(({ level, of }) => ({
    level,
    health: (pool, each) => of[(pool.length * 3 + each.length + each.charCodeAt(1)) % of.length],
  }));

describe("for every input", () => {
  test("the decision names a pool there is, its tier, a model of it if any, and reasons", () => {
    fc.assert(
      fc.property(features, policy, signals, (f, p, s) => {
        const decision = decide(f, p, s);
        const pool = p.byName.get(decision.pool);
        expect(pool?.tier).toBe(decision.tier);
        if (decision.model !== undefined) expect(pool?.models).toContain(decision.model);
        expect(decision.reasons.length).toBeGreaterThan(0);
        expect(decision.reasons.every((reason) => reason.trim() !== "")).toBe(true);
        expect(routeDecisionSchema.parse(decision)).toEqual(decision);
      }),
      { numRuns: 1_000 },
    );
  });

  test("the same input gives the same decision", () => {
    fc.assert(
      fc.property(features, policy, signals, (f, p, s) => {
        expect(decide({ ...f }, p, s)).toEqual(decide(f, p, s));
      }),
    );
  });

  test("an ongoing conversation keeps its tier at every level and health, in every order of strategies", () => {
    fc.assert(
      fc.property(features, policy, signals, (f, p, s) => {
        fc.pre(p.pools.some(({ tier }) => tier === f.tier));
        expect(decide(f, p, s).tier).toBe(f.tier);
      }),
      { numRuns: 1_000 },
    );
  });

  test("no pool whose every model fails is chosen while its fallback can serve a new conversation", () => {
    fc.assert(
      fc.property(features, policy, signals, (f, p, s) => {
        fc.pre(p.order === ROUTING_STRATEGIES && f.tier === undefined);
        const down = (pool: (typeof p.pools)[number]) =>
          pool.models.every((each) => s.health(pool.name, each)?.breaker === "open");
        const chosen = p.byName.get(decide(f, p, s).pool);
        if (!chosen || !down(chosen)) return;
        for (const other of chosen.fallback) expect(down(p.byName.get(other) as typeof chosen)).toBe(true);
      }),
      { numRuns: 200 },
    );
  });
});

const CONFIG = configSchema.parse({
  pools: {
    large: {
      tier: "gold",
      models: [
        { name: "l1", provider: "echo" },
        { name: "l2", provider: "echo" },
      ],
      fallback: ["twin", "small"],
      degradeTo: "small",
    },
    twin: { tier: "gold", models: [{ name: "t1", provider: "echo" }] },
    small: { models: [{ name: "s1", provider: "echo" }] },
  },
  routing: {
    rules: [
      { name: "legal", when: { keywords: ["lawyer", "court case"] }, pool: "large" },
      { when: { languages: ["nl"], channels: ["whatsapp"], maxChars: 40 }, pool: "small" },
    ],
  },
});
const POLICY = policyOf(CONFIG);

function route(
  change: Partial<RouteFeatures>,
  { level = 0, health = {} }: { level?: Level; health?: Record<string, Partial<ModelSignal>> } = {},
) {
  const f: RouteFeatures = {
    tenant: "t",
    assistant: "shop",
    policy: "auto",
    question: "Where is my parcel?",
    locale: "en",
    channel: "web",
    cls: change.tier === undefined ? "new" : "ongoing",
    ...change,
  };
  return decide(f, POLICY, {
    level,
    health: (_, model) => ({ breaker: "closed", firstTokenMs: 0, ...health[model] }),
  });
}
const open = { breaker: "open" } as const;

describe("keep", () => {
  test("keeps tier and model, in the pool of the tier that holds the model", () => {
    expect(route({ tier: "gold", model: "l2" })).toMatchObject({ pool: "large", model: "l2" });
    expect(route({ tier: "gold", model: "t1" })).toMatchObject({ pool: "twin", model: "t1" });
    expect(route({ tier: "gold", model: "gone" })).toMatchObject({ pool: "large" });
  });

  test("gives up a model that keeps failing, or for one that is clearly faster", () => {
    expect(route({ tier: "gold", model: "l1" }, { health: { l1: open } }).model).toBe("l2");
    const slow = (ms: number) => ({ health: { l1: { firstTokenMs: 1_000 }, l2: { firstTokenMs: ms } } });
    expect(route({ tier: "gold", model: "l1" }, slow(400)).model).toBe("l2");
    expect(route({ tier: "gold", model: "l1" }, slow(600)).model).toBe("l1");
    expect(route({ tier: "gold", model: "l1", policy: "l1" }, slow(400)).model).toBe("l1");
  });

  test("stays in its tier when everything in it fails", () => {
    const all = { l1: open, l2: open };
    expect(route({ tier: "gold", model: "l1" }, { health: all })).toMatchObject({ pool: "twin" });
    const decision = route({ tier: "gold", model: "l1" }, { health: { ...all, t1: open } });
    expect(decision).toMatchObject({ pool: "large", tier: "gold" });
    expect(decision.reasons.join()).toContain("no fallback is of the conversation's tier");
  });

  test("says when the tier is gone", () => {
    expect(route({ tier: "bronze" }).reasons).toEqual([
      "the conversation's tier bronze is no longer configured",
      "auto: the first pool",
    ]);
  });
});

describe("rules", () => {
  test("the first one that holds decides, and is named in the reasons", () => {
    expect(route({ question: "My LAWYER writes" }).reasons).toEqual([
      'rule "legal" (keyword "lawyer") names pool large',
    ]);
    expect(route({ locale: "nl-BE", channel: "whatsapp" })).toMatchObject({ pool: "small" });
    expect(route({ locale: "nl-BE", channel: "whatsapp", question: "x".repeat(41) }).pool).toBe("large");
    expect(route({ locale: "nlx", channel: "whatsapp" }).pool).toBe("large");
  });

  test("stand behind what the assistant names", () => {
    expect(route({ question: "lawyer", policy: "small" }).pool).toBe("small");
  });
});

describe("level and health", () => {
  test("from level 1 on new conversations get the smaller pool, others do not", () => {
    for (const level of [1, 2, 3] as const) {
      expect(route({}, { level }).pool).toBe("small");
      expect(route({ tier: "gold" }, { level }).pool).toBe("large");
      expect(route({ cls: "deferred" }, { level }).pool).toBe("large");
    }
    expect(route({}, { level: 1 }).reasons).toEqual([
      "load level 1: new conversations get small instead of large",
    ]);
    expect(route({}, { level: 1, health: { s1: open } }).pool).toBe("large");
  });

  test("a pool that is down is left along fallback, a failing model inside its pool", () => {
    expect(route({}, { health: { l1: open } })).toMatchObject({ pool: "large", model: "l2" });
    expect(route({}, { health: { l1: open, l2: open } }).pool).toBe("twin");
    expect(route({}, { health: { l1: open, l2: open, t1: open } }).pool).toBe("small");
    expect(route({}, { health: { l1: open, l2: open, t1: open, s1: open } }).pool).toBe("large");
    expect(route({ policy: "l1" }, { health: { l1: open } })).toMatchObject({ pool: "large", model: "l2" });
  });

  test("an explanation has a line a strategy, in order", () => {
    const { steps } = explain(
      {
        ...{ tenant: "t", assistant: "a", policy: "auto", question: "q", locale: "en" },
        channel: "web",
        cls: "new",
      },
      POLICY,
      { level: 1, health: () => undefined },
    );
    expect(steps.map(({ strategy }) => strategy)).toEqual([...ROUTING_STRATEGIES]);
    expect(steps.filter(({ counted }) => counted).map(({ strategy }) => strategy)).toEqual(["level"]);
  });
});
