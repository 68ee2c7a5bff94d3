// Load levels on a real NATS: what raises and lowers them, who sets them, and what they do to new conversations and to
// none that goes on.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { createLoadAdmin } from "#actors/governor/admin.ts";
import { inferFilter, inferStream } from "#contracts/subjects.ts";
import type { TurnRecord } from "#contracts/turn.ts";
import { systemClock } from "#runtime/clock.ts";
import { messagesFrom, streamState } from "#runtime/nats/reader.ts";
import { provision } from "#runtime/nats/topology.ts";
import { jobOf } from "#test/harness/inference.ts";
import { DELIVERY, LoadWorld, type Member } from "#test/harness/load-world.ts";
import { waitUntil } from "#test/harness/wait.ts";

const QUESTION = "How long does delivery take?";
let world: LoadWorld;
const started: Member[] = [];

async function run(member: Promise<Member>): Promise<Member> {
  started.push(await member);
  return member;
}

beforeAll(async () => {
  world = await LoadWorld.start();
});
afterAll(() => world?.stop());
afterEach(async () => {
  for (const member of started.splice(0).reverse()) await world.end(member);
});

describe("the governor", () => {
  test("a backlog raises the level, and it is 0 again when the backlog is gone", async () => {
    await run(world.governor());
    for (let n = 0; n < 40; n++) await world.submit(jobOf({ pool: "small", deadline: Date.now() + 60_000 }));
    const high = await world.atLevel(3);
    expect(high).toMatchObject({ manual: false, override: null });
    expect(high.reason).toMatch(/^pool small: new conversations would wait/);
    const { classes } = world.admin.drain("small");
    expect(classes.find(({ cls }) => cls === "new")).toMatchObject({ waiting: 40, inFlight: 0 });
    await run(world.worker(["small"]));
    await world.atLevel(0);
    // The change is in force a moment before it is in the history.
    const levels = await waitUntil(
      async () => {
        const [last, ...before] = (await world.admin.status()).history.map(({ level }) => level);
        return last === 0 && before;
      },
      { what: "the last change in the history" },
    );
    expect(levels.slice(0, 2)).toEqual([1, 2]);
    expect(world.admin.drain("small").value).toBe(0);
  });

  test("operators, KEDA and Prometheus read it from a gateway, and nobody gets a figure that nobody measured", async () => {
    const url = await world.gateway();
    const get = (path: string, init: RequestInit = {}): Promise<Response> =>
      fetch(`${url}${path}`, {
        ...init,
        headers: { authorization: "Bearer demo", "content-type": "application/json" },
      });
    expect((await get("/v1/admin/drain?pool=large")).status).toBe(503);
    await run(world.governor());
    await waitUntil(async () => (await get("/v1/admin/drain?pool=large")).status === 200, {
      what: "a figure",
    });
    await world.submit(jobOf({ pool: "large", deadline: Date.now() + 60_000 }));
    await waitUntil(
      async () => ((await (await get("/v1/admin/drain?pool=large")).json()) as { value: number }).value > 0,
      { what: "a drain time" },
    );
    expect((await get("/v1/admin/drain?pool=none")).status).toBe(404);
    const text = await (await get("/metrics")).text();
    expect(text).toMatch(/queue_drain_ms\{[^}]*pool="large"[^}]*class="new"[^}]*\} [1-9]/);
    expect(text).toMatch(/load_level(\{[^}]*\})? \d/);
    const held = await get("/v1/admin/level", {
      method: "PUT",
      body: JSON.stringify({ level: 1, reason: "by key" }),
    });
    expect(await held.json()).toMatchObject({ level: 1, reason: "by key" });
    expect(await (await get("/v1/admin/level")).json()).toMatchObject({
      level: 1,
      manual: true,
      reason: "by key",
    });
    expect(
      (await get("/v1/admin/level", { method: "PUT", body: JSON.stringify({ level: 4, reason: "x" }) }))
        .status,
    ).toBe(400);
    await get("/v1/admin/level", { method: "PUT", body: JSON.stringify({ level: null, reason: "done" }) });
    await run(world.worker());
    // What is let go is 0 before the worker has begun: a job that is left here would hold the next tests' level up.
    await waitUntil(async () => (await streamState(world.bus, inferStream("large"))).messages === 0, {
      what: "an empty queue",
    });
    await world.atLevel(0);
  });

  test("a standby takes over when the active one's connection closes, and goes on from its level", async () => {
    const first = await run(world.governor());
    await waitUntil(() => world.load.report()?.by === first.instance, { what: "the first" });
    const second = await run(world.governor());
    await world.submit(jobOf({ pool: "small", deadline: Date.now() + 60_000 }));
    await world.atLevel(3);
    await world.cut(first);
    await waitUntil(() => world.load.report()?.by === second.instance, { what: "the second" });
    expect((await world.admin.status()).level).toBe(3);
    await run(world.worker(["small"]));
    expect((await world.atLevel(0)).by).toBe(second.instance);
  });

  test("an orderly end gives the lease to the standby at once", async () => {
    const first = await world.governor();
    await waitUntil(() => world.load.report()?.by === first.instance, { what: "the first" });
    const second = await run(world.governor());
    await world.end(first);
    await waitUntil(() => world.load.report()?.by === second.instance, { what: "the second" });
  });

  test("an override wins over the load, and every change is kept with its reason", async () => {
    await run(world.governor());
    await world.admin.override(2, "launch day", "test");
    await waitUntil(async () => (await world.admin.status()).history[0]?.level === 2, { what: "the record" });
    expect(await world.admin.status()).toMatchObject({ level: 2, manual: true, reason: "launch day" });
    await world.admin.override(null, "launch is over", "test");
    const { history } = await world.atLevel(0).then(() =>
      waitUntil(
        async () => {
          const status = await world.admin.status();
          return status.history[0]?.level === 0 && status;
        },
        { what: "the release" },
      ),
    );
    expect(history.slice(0, 2)).toMatchObject([
      { level: 0, manual: false, reason: "released by test: launch is over" },
      { level: 2, manual: true, reason: "launch day", by: "test" },
    ]);
  });

  test("what operators are told is what counts: a release without a governor, and the level of one that is gone", async () => {
    const governor = await world.governor();
    await world.admin.override(2, "launch day", "test");
    await waitUntil(async () => (await world.admin.status()).history[0]?.level === 2, { what: "the record" });
    await world.end(governor);
    await world.admin.override(null, "launch is over", "test");
    expect(await world.admin.status()).toMatchObject({ level: 0, manual: false, reason: "launch is over" });
    const other = await world.governor();
    await world.submit(jobOf({ pool: "small", deadline: Date.now() + 60_000 }));
    await world.atLevel(3);
    await world.end(other);
    const seen = (lapsed: boolean) =>
      createLoadAdmin(world.bus, systemClock, world.load, { lapsed: () => lapsed }).status();
    expect((await seen(false)).level).toBe(3);
    expect(await seen(true)).toMatchObject({
      level: 0,
      reason: expect.stringContaining("no governor is heard"),
    });
    await run(world.governor());
    await run(world.worker(["small"]));
    await world.atLevel(0);
  });

  test("a queue that cannot be read for a while, as without a leader, lowers no level", async () => {
    const first = await run(world.governor());
    for (let n = 0; n < 40; n++) await world.submit(jobOf({ pool: "small", deadline: Date.now() + 60_000 }));
    await world.atLevel(3);
    await world.bus.jsm.streams.delete(inferStream("small"));
    try {
      const rounds = new Set<number>();
      await waitUntil(
        () => {
          const report = world.load.report();
          if (!report) return false;
          expect(report.drains.some(({ pool, cls }) => pool === "small" && cls === "new")).toBe(true);
          return rounds.add(report.at).size > 5;
        },
        { what: "some rounds" },
      );
      expect((await world.admin.status()).level).toBe(3);
      // Nor when it cannot be read from the start, as by a standby that takes over beside the loss.
      const second = await run(world.governor());
      await world.cut(first);
      rounds.clear();
      await waitUntil(
        () => {
          const report = world.load.report();
          return report?.by === second.instance && rounds.add(report.at).size > 5;
        },
        { what: "some rounds of the second" },
      );
      expect((await world.admin.status()).level).toBe(3);
    } finally {
      await provision(world.bus, { pools: ["small", "large"] });
    }
    await world.atLevel(0);
  });
});

describe("conversations", () => {
  const levelShown = ({ error, model, route }: TurnRecord): number =>
    error === "load.refused" ? 3 : model === "kb-extract" ? 2 : route?.pool === "small" ? 1 : 0;
  let probes = 0;

  /** Resolves when hosts follow it: they hear of it by a watch, which tells nobody, but each new conversation shows it. */
  async function hold(level: 0 | 1 | 2 | 3 | null): Promise<void> {
    const { at } = await world.admin.override(level, "test", "test");
    await waitUntil(
      async () => {
        const [last] = (await world.admin.status()).history;
        return last && last.at >= at && last.level === (level ?? 0) && last.manual === (level !== null);
      },
      { what: `the record of level ${level}` },
    );
    await waitUntil(
      async () => levelShown(await world.ask("demo", `probe-${++probes}`, QUESTION)) === (level ?? 0),
      { what: `a new conversation at level ${level}` },
    );
  }

  test("new ones get the smaller pool, then extracts, then a refusal; ongoing ones keep tier and model", async () => {
    await run(world.governor());
    await run(world.host());
    await run(world.worker());
    const url = await world.gateway();
    const post = (session: string): Promise<Response> =>
      fetch(`${url}/v1/conversations/${session}/messages`, {
        method: "POST",
        headers: { authorization: "Bearer demo", "content-type": "application/json" },
        body: JSON.stringify({ text: QUESTION }),
      });
    await hold(0);
    const first = await world.ask("demo", "ongoing", QUESTION);
    expect(first).toMatchObject({ outcome: "answered", route: { pool: "large", tier: "large" } });

    await hold(1);
    const smaller = await world.ask("demo", "smaller", QUESTION);
    expect(smaller).toMatchObject({ outcome: "answered", route: { pool: "small", tier: "small" } });
    expect(smaller.route?.reasons.join()).toContain("load level 1");

    await hold(2);
    const extract = await world.ask("demo", "extract", QUESTION);
    expect(extract).toMatchObject({ outcome: "answered", model: "kb-extract", cached: false });
    expect(extract.reply).toContain("Delivery takes 1 to 2 working days.");
    expect(extract.citations).toMatchObject([{ document: DELIVERY.document, revision: 1 }]);
    expect(extract.route?.reasons).toEqual([expect.stringContaining("load level 2")]);

    await hold(3);
    await waitUntil(async () => (await post(`probe-${++probes}`)).status === 429, {
      what: "the gateway to refuse",
    });
    const stored = await streamState(world.bus, "INBOUND-0");
    const refused = await post("refused");
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(await refused.json()).toMatchObject({ code: "load.refused", retry: "later" });
    expect((await streamState(world.bus, "INBOUND-0")).lastSeq).toBe(stored.lastSeq);
    expect(await world.client.exists("demo", "refused")).toBe(false);
    // What came another way is told so, in a turn of its own.
    const told = await world.ask("demo", "other-channel", QUESTION);
    expect(told).toMatchObject({ outcome: "failed", error: "load.refused", model: "" });
    expect(told.reply).toMatch(/^Sorry/);
    // Begun with an extract: goes on with extracts, and is not refused.
    expect(await world.ask("demo", "extract", QUESTION)).toMatchObject({ turn: 2, model: "kb-extract" });
    expect((await post("ongoing")).status).toBe(200);
    for (const [session, tier] of [
      ["ongoing", "large"],
      ["smaller", "small"],
    ] as const) {
      const later = await world.ask("demo", session, QUESTION);
      expect(later).toMatchObject({ outcome: "answered", model: "echo", route: { pool: tier, tier } });
      expect(later.route?.reasons.join()).toContain("load level 3");
    }

    await hold(null);
    // Nothing pinned: after the load an extract's conversation is routed like a first turn, the smaller one stays.
    expect(await world.ask("demo", "extract", QUESTION)).toMatchObject({ turn: 3, route: { tier: "large" } });
    expect(await world.ask("demo", "smaller", QUESTION)).toMatchObject({ route: { tier: "small" } });
  });

  test("a tenant that floods goes to lane 1, the others and its later jobs do not", async () => {
    await run(world.host());
    for (let n = 0; n < 6; n++) await world.say("flood", `f${n}`, QUESTION);
    await world.say("calm", "c", QUESTION);
    const queued = (count: number): Promise<string[]> =>
      waitUntil(
        async () => {
          const jobs = await messagesFrom(world.bus, inferStream("large"), inferFilter("large"), 1, 100);
          return jobs.length >= count && jobs.map(({ subject }) => subject);
        },
        { what: `${count} jobs` },
      );
    const lanes = (subjects: readonly string[], tenant: string): string[] =>
      subjects.filter((each) => each.split(".")[4] === tenant).map((each) => each.split(".")[3] as string);
    const subjects = await queued(7);
    expect(lanes(subjects, "flood").sort()).toEqual(["0", "0", "1", "1", "1", "1"]);
    expect(lanes(subjects, "calm")).toEqual(["0"]);
    const worker = await world.worker();
    for (let n = 0; n < 6; n++) await world.records("flood", `f${n}`, 1);
    await world.end(worker);
    await world.say("flood", "later", QUESTION);
    expect(lanes(await queued(1), "flood")).toEqual(["0"]);
    await run(world.worker());
    await world.records("flood", "later", 1);
  });
});
