// Routes as conversations really get them: a held level and a failing model, over a real server, from the records.
import { afterAll, beforeAll, expect, test } from "vitest";
import { ConversationClient } from "#actors/conversation/client.ts";
import { createLoadAdmin } from "#actors/governor/admin.ts";
import { decode, encode } from "#contracts/codec.ts";
import { configSchema } from "#contracts/config.ts";
import { shardOf } from "#contracts/ids.ts";
import type { Level } from "#contracts/level.ts";
import type { ModelHealth } from "#contracts/load.ts";
import { BUCKETS, modelHealthKey, routeOf, turnSessionFilter, turnsStream } from "#contracts/subjects.ts";
import { CONVERSATION, type TurnRecord } from "#contracts/turn.ts";
import type { RoleContext, RunningRole } from "#ops/compose/context.ts";
import { startConversationHost } from "#ops/compose/conversation.ts";
import { startWorker } from "#ops/compose/worker.ts";
import { systemClock } from "#runtime/clock.ts";
import { connectBus } from "#runtime/nats/connect.ts";
import { Kv } from "#runtime/nats/kv.ts";
import { messagesFrom } from "#runtime/nats/reader.ts";
import { provision } from "#runtime/nats/topology.ts";
import { createLog } from "#runtime/observe/log.ts";
import { startTestNats, type TestNats } from "#test/harness/nats.ts";
import { waitUntil } from "#test/harness/wait.ts";

const TENANT = "demo";
const SHARDS = 1;
const log = createLog({ level: process.env.JETCLAW_LOG_LEVEL ?? "silent" });
const config = configSchema.parse({
  assistants: { default: { instructions: "Be brief." } },
  pools: {
    large: { models: [{ name: "big", provider: "echo" }], fallback: ["spare"], degradeTo: "small" },
    small: { models: [{ name: "mini", provider: "echo" }] },
    spare: { models: [{ name: "reserve", provider: "echo" }] },
  },
});

let nats: TestNats;
let context: RoleContext;
let client: ConversationClient;
const running: RunningRole[] = [];

beforeAll(async () => {
  nats = await startTestNats();
  const bus = await connectBus({ servers: nats.url, name: "test", log });
  const deployment = await provision(bus, { shards: SHARDS, pools: Object.keys(config.pools) });
  context = { bus, deployment, config, log, clock: systemClock, instance: "one" };
  running.push(await startConversationHost(context), await startWorker(context));
  client = new ConversationClient(bus, deployment, systemClock);
});
afterAll(async () => {
  for (const role of running) await role.stop();
  await context?.bus.close();
  await nats?.stop();
});

let sent = 0;
/** The record of the session's next turn. */
async function ask(session: string): Promise<TurnRecord> {
  const { partition } = routeOf({ kind: CONVERSATION, tenant: TENANT, key: session });
  const shard = shardOf(partition, SHARDS);
  const records = () =>
    messagesFrom(context.bus, turnsStream(shard), turnSessionFilter(shard, TENANT, session), 1, 100);
  const before = (await records()).length;
  const id = `m${++sent}`;
  await client.send({
    tenant: TENANT,
    session,
    id,
    body: { parts: [{ type: "text", text: `question ${id}` }], channel: "web" },
  });
  const page = await waitUntil(
    async () => {
      const now = await records();
      return now.length > before && now;
    },
    { what: `a turn of ${session}`, pollMs: 30 },
  );
  return decode<TurnRecord>(page.at(-1)?.data as Uint8Array);
}

const hold = (level: Level | null) =>
  createLoadAdmin(context.bus, systemClock).override(level, "a test", "nobody");
let fresh = 0;
/** Asks in ever new conversations until one is served by the pool. */
const untilNewGets = (pool: string) =>
  waitUntil(
    async () => {
      const record = await ask(`fresh-${++fresh}`);
      return record.route?.pool === pool && record;
    },
    { what: `a new conversation in ${pool}`, pollMs: 100 },
  );

test("a level moves new conversations only, a failing model moves them along the fallback", async () => {
  expect((await ask("ongoing")).route).toMatchObject({ pool: "large", reasons: ["auto: the first pool"] });

  await hold(1);
  const degraded = await untilNewGets("small");
  expect(degraded).toMatchObject({ model: "mini", outcome: "answered" });
  expect(degraded.route?.reasons[0]).toBe("load level 1: new conversations get small instead of large");
  const kept = await ask("ongoing");
  expect(kept).toMatchObject({ model: "big", route: { pool: "large", tier: "large", model: "big" } });

  await hold(null);
  await untilNewGets("large");

  // Three workers that see it fail outvote the one that has not noticed.
  for (const worker of ["w1", "w2", "w3"]) {
    const health: ModelHealth = {
      ...{
        pool: "large",
        model: "big",
        worker,
        at: Date.now(),
        lifetimeMs: 300_000,
        breaker: "open",
        inFlight: 0,
        limit: 1,
      },
      ...{ firstTokenMs: 0, totalMs: 0, tokensPerSecond: 0, requestsPerSecond: 0, errorShare: 1 },
    };
    await new Kv(context.bus, BUCKETS.models).put(modelHealthKey(health), encode(health), { ttlMs: 300_000 });
  }
  const moved = await untilNewGets("spare");
  expect(moved.route?.reasons).toEqual(["every model of large keeps failing: fallback spare"]);
  expect((await ask("ongoing")).route).toMatchObject({ pool: "large", tier: "large" });
});
