// What the caches need fails: who asked for others dies, the store stalls; and what is served is checked behind the user.
import { afterEach, beforeAll, expect, test } from "vitest";
import { createCacheAdmin } from "#actors/cache/admin.ts";
import { Flights } from "#actors/cache/flights.ts";
import { flightKey } from "#actors/cache/key.ts";
import { encode } from "#contracts/codec.ts";
import { BUCKETS, bucketStream, bucketSubject, CORE } from "#contracts/subjects.ts";
import { systemClock } from "#runtime/clock.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { Kv } from "#runtime/nats/kv.ts";
import { enableMetrics, prometheusText } from "#runtime/observe/metrics.ts";
import { stretchPatience } from "#runtime/within.ts";
import { CachedWorld, TENANT } from "#test/harness/cached-world.ts";
import { SLOW_MACHINE, waitUntil } from "#test/harness/wait.ts";

beforeAll(enableMetrics);

let world: CachedWorld | undefined;
afterEach(async () => {
  await world?.stop();
  world = undefined;
});

async function start(starting: Promise<CachedWorld>): Promise<CachedWorld> {
  world = await starting;
  return world;
}

let sessions = 0;
const session = (): string => `s${++sessions}`;

async function countOf(level: string, result: string): Promise<number> {
  const line = new RegExp(
    `^jetclaw_cache_lookups\\S*\\{[^}]*level="${level}",result="${result}"[^}]*\\} (\\d+)`,
    "m",
  );
  return Number(line.exec(await prometheusText())?.[1] ?? 0);
}

test("a turn that waits for a host that dies asks for itself, and the other turn is answered too", async () => {
  const w = await start(CachedWorld.start(2));
  await w.put("delivery", "Delivery takes three days in all countries.");
  const text = "How long does delivery take?";
  w.model.hold();
  const [one] = w.hosts;
  const leader = session();
  const first = await w.send(leader, text);
  await waitUntil(() => w.model.asked.length > 0, { what: "the question" });
  const talks = Array.from({ length: 6 }, session);
  const ids = await Promise.all(talks.map((talk) => w.send(talk, text)));
  await one?.end();
  w.model.release();
  const records = await Promise.all(talks.map((talk, n) => w.recordOf(talk, ids[n] as string)));
  expect(records.every(({ outcome }) => outcome === "answered")).toBe(true);
  expect(await w.recordOf(leader, first)).toMatchObject({ outcome: "answered" });
});

test("while the store stalls turns are answered without it, and that is counted", async () => {
  const w = await start(CachedWorld.start(1));
  stretchPatience(1);
  await w.put("delivery", "Delivery takes three days in all countries.");
  await w.ask(session(), "How long does delivery take?");
  const timeouts = await countOf("shared", "timeout");
  // Whoever asks the stream now gets neither an answer nor a refusal.
  const stream = bucketStream(BUCKETS.cache);
  const silent = [`$JS.API.DIRECT.GET.${stream}.>`, bucketSubject(BUCKETS.cache, ">")].map((subject) =>
    w.bus.subscribe(subject, () => {}),
  );
  await w.bus.jsm.streams.delete(stream);
  for (const question of [
    "Does delivery take three days?",
    "Delivery in all countries?",
    "Three days of delivery?",
  ]) {
    expect(await w.ask(session(), question)).toMatchObject({ cached: false });
  }
  // Asked once, then left alone, for five seconds each time.
  expect((await countOf("shared", "timeout")) - timeouts).toBeGreaterThan(0);
  expect(await countOf("shared", "resting")).toBeGreaterThan(0);
  // What was in memory is still served.
  expect(await w.ask(session(), "How long does delivery take?")).toMatchObject({ cached: true });
  for (const one of silent) one.stop();
});

test("a hit by meaning is checked by a job of its own, while the user has the answer; status, explain and rm tell and end it", async () => {
  const w = await start(CachedWorld.start(2, { cache: { checkShare: 1, errorBound: 0.1 } }));
  const topics = ["zebra", "walrus", "parrot", "salmon"];
  let last = 0;
  for (const topic of topics)
    last = await w.put(topic, `A ${topic} eats what a ${topic} likes, and it likes food.`);
  // Answers of a host that has not heard of a change yet are let go by meaning, each host by itself.
  await waitUntil(() => w.hosts.every(({ retrieval }) => retrieval.cache.position().revision >= last), {
    what: "every host to know that all is indexed",
  });
  w.model.reply = (question) => `The ${topics.find((topic) => question.includes(topic))} eats [1].`;
  const wordings = [
    (topic: string) => `What does a ${topic} eat?`,
    (topic: string) => `Please tell me what a ${topic} eats`,
    (topic: string) => `What food does the ${topic} eat`,
    (topic: string) => `I want to know what a ${topic} eats`,
    (topic: string) => `Which food does a ${topic} like to eat?`,
    (topic: string) => `Can you say what the ${topic} eats?`,
    (topic: string) => `What should a ${topic} eat?`,
    (topic: string) => `What does the ${topic} usually eat?`,
    (topic: string) => `Tell me which food a ${topic} eats`,
    (topic: string) => `What would a ${topic} eat for food`,
    (topic: string) => `Say, what would the ${topic} eat?`,
    (topic: string) => `What will a ${topic} like to eat?`,
  ];
  const served: string[] = [];
  // Nothing is served before there are lessons, and not every question is one.
  for (const greeting of ["", "Hello, ", "Good morning, "])
    for (const [wording, topic] of wordings.flatMap((each) =>
      topics.map((topic) => [each, topic] as const),
    )) {
      if (served.length >= 4) break;
      const question = `${greeting}${wording(topic)}`;
      const record = await w.ask(session(), question);
      expect(record.reply).toContain(topic);
      if (record.cacheLevel === "semantic") served.push(question);
    }
  expect(served.length).toBeGreaterThan(0);
  await waitUntil(() => served.every((question) => w.model.asked.includes(question)), {
    what: "the checks to reach the model",
  });
  const admin = createCacheAdmin(w.bus, systemClock);
  const checked = async (): Promise<boolean> =>
    (await admin.status()).hosts.reduce((sum, { checks }) => sum + checks.agreed, 0) >= served.length;
  await waitUntil(checked, { what: "the checks to be counted" });

  const question = wordings[0]?.("zebra") as string;
  const explain = () => admin.explain({ tenant: TENANT, text: question, ongoing: true });
  await waitUntil(async () => (await explain()).response.state === "hit", { what: "a host that is fresh" });
  const explained = await explain();
  expect(explained).toMatchObject({ levels: "both", response: { state: "hit" }, off: false });
  expect(explained.semantic?.candidates.length).toBeGreaterThan(0);
  expect(await admin.explain({ tenant: TENANT, text: "And a zebra?", ongoing: true })).toMatchObject({
    levels: "none",
    reason: "context",
  });
  const sizes = (): Set<number> => new Set(w.hosts.map(({ retrieval }) => retrieval.cache.status().entries));
  await waitUntil(() => sizes().size === 1, { what: "every host to have every entry" });
  const held = w.hosts.map(({ retrieval }) => retrieval.cache.status().entries);
  expect(await admin.remove(TENANT, explained.id)).toBe(true);
  for (const [n, { retrieval }] of w.hosts.entries())
    await waitUntil(() => retrieval.cache.status().entries === (held[n] as number) - 1, {
      what: "every host to drop it",
    });
  // The model says the same again: not kept. Another answer may serve by its meaning, the removed one never does.
  for (const record of [await w.ask(session(), question), await w.ask(session(), question)])
    expect(record.cacheLevel).not.toBe("response");
  expect(await admin.explain({ tenant: TENANT, text: question, ongoing: false })).toMatchObject({
    response: { state: "none" },
  });
  expect(await admin.remove(TENANT, "nothing")).toBe(false);
});

test("a lease that the store gives too late goes with its flight, and who waits for it wakes", async () => {
  const w = await start(CachedWorld.start(1));
  stretchPatience(1);
  const slow = Promise.withResolvers<void>();
  const append: Bus["append"] = async (...given) => {
    await slow.promise;
    return await w.bus.append(...given);
  };
  const late = new Proxy(w.bus, {
    get: (bus, name) => {
      const found = name === "append" ? append : Reflect.get(bus, name);
      return typeof found === "function" ? found.bind(bus) : found;
    },
  });
  const parts = { log: w.bus.log, clock: systemClock, alone: () => false };
  const [here, there] = [new Flights(late, parts), new Flights(w.bus, parts)];
  const leases = async (): Promise<number> => {
    const { value } = await new Kv(w.bus, BUCKETS.cache).get(flightKey(TENANT, "late"));
    return value ? 1 : 0;
  };
  try {
    expect(await here.join(TENANT, "late", "new", "s 1")).toEqual({ kind: "ask" });
    slow.resolve();
    await waitUntil(async () => (await leases()) === 1, { what: "the late lease" });
    stretchPatience(SLOW_MACHINE);
    const waiting = await there.join(TENANT, "late", "new", "s 1");
    expect(waiting.kind).toBe("wait");
    here.land(TENANT, "late");
    if (waiting.kind === "wait") await waiting.landed;
    await waitUntil(async () => (await leases()) === 0, { what: "no lease" });
  } finally {
    here.stop();
    there.stop();
  }
});

test("the landing of a flight before ends none that has begun since", async () => {
  const w = await start(CachedWorld.start(1));
  const parts = { log: w.bus.log, clock: systemClock, alone: () => false };
  const [here, there] = [new Flights(w.bus, parts), new Flights(w.bus, parts)];
  const key = flightKey(TENANT, "again");
  try {
    expect(await here.join(TENANT, "again", "new", "s 1")).toEqual({ kind: "ask" });
    w.bus.publish(CORE.cacheLanded, encode(key));
    // What was published before is heard before.
    await w.bus.nc.flush();
    const waiting = await there.join(TENANT, "again", "new", "s 1");
    expect(waiting.kind).toBe("wait");
    here.land(TENANT, "again");
    if (waiting.kind === "wait") await waiting.landed;
    const leases = new Kv(w.bus, BUCKETS.cache);
    await waitUntil(async () => (await leases.get(key)).value === undefined, { what: "no lease" });
  } finally {
    here.stop();
    there.stop();
  }
});

test("a flight that outlived its lease takes nobody else's along", async () => {
  const w = await start(CachedWorld.start(1));
  const parts = { log: w.bus.log, clock: systemClock, alone: () => false };
  const [late, next, third] = [1, 2, 3].map(() => new Flights(w.bus, parts)) as [Flights, Flights, Flights];
  const key = flightKey(TENANT, "long");
  const leases = new Kv(w.bus, BUCKETS.cache);
  const landed = Promise.withResolvers<void>();
  const landings = w.bus.subscribe(CORE.cacheLanded, () => landed.resolve());
  try {
    expect(await late.join(TENANT, "long", "new", "s 1")).toEqual({ kind: "ask" });
    // As when its time is over.
    await leases.drop(key);
    expect(await next.join(TENANT, "long", "new", "s 2")).toEqual({ kind: "ask" });
    late.land(TENANT, "long");
    await landed.promise;
    expect((await third.join(TENANT, "long", "new", "s 3")).kind).toBe("wait");
  } finally {
    landings.stop();
    for (const flights of [late, next, third]) flights.stop();
  }
});
