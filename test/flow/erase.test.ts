// What is left of a conversation that was erased: the whole server is looked through for it. Real server, real roles, a
// model that extracts for the cached answer and a slow one for the job that runs while everything is erased.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ConversationClient } from "#actors/conversation/client.ts";
import { configSchema } from "#contracts/config.ts";
import { ENVELOPE_VERSION, type Envelope, encodeEnvelope } from "#contracts/envelope.ts";
import { LIMITS } from "#contracts/limits.ts";
import {
  actorsBucket,
  BUCKETS,
  bucketStream,
  bucketSubject,
  deliveryKey,
  inboundSubject,
  routeOf,
} from "#contracts/subjects.ts";
import { CONVERSATION } from "#contracts/turn.ts";
import type { RoleContext, RunningRole } from "#ops/compose/context.ts";
import { startConversationHost } from "#ops/compose/conversation.ts";
import { deadLettersOf } from "#ops/compose/dead-letters.ts";
import { connectTo, contextOf, provisionFor } from "#ops/compose/open.ts";
import { type Retrieval, startRetrieval } from "#ops/compose/retrieval.ts";
import { startWorker } from "#ops/compose/worker.ts";
import { tellActor } from "#runtime/actor/client.ts";
import { shardOfRoute } from "#runtime/nats/inbound.ts";
import { Kv } from "#runtime/nats/kv.ts";
import { createLog } from "#runtime/observe/log.ts";
import { startTestNats, type TestNats } from "#test/harness/nats.ts";
import { scan } from "#test/harness/scan.ts";
import { waitUntil } from "#test/harness/wait.ts";

const TENANT = "acme";
const SESSION = "eva.4711";
const MARKERS = ["zanzibar", "quokka", "heliotrope", "obsidian"];
const route = routeOf({ kind: CONVERSATION, tenant: TENANT, key: SESSION });
/** Its id, its token, the ids of its messages, and what was said. */
const NEEDLES = [SESSION, route.path.split(".").at(-1) as string, "eva-message-", ...MARKERS];

let nats: TestNats;
let context: RoleContext;
let client: ConversationClient;
let retrieval: Retrieval;
const roles: RunningRole[] = [];

beforeAll(async () => {
  nats = await startTestNats();
  const log = createLog({ level: "silent" });
  const bus = await connectTo(nats.url, "test", log);
  const config = configSchema.parse({
    assistants: { shop: { knowledge: ["shop"] } },
    pools: {
      kb: { tier: "any", models: [{ name: "kb-extract", provider: "kb-extract" }] },
      slow: { tier: "any", models: [{ name: "echo", provider: "echo" }] },
    },
    routing: { rules: [{ when: { keywords: ["slowly"] }, pool: "slow" }], order: ["rules", "first"] },
    shards: 2,
  });
  context = contextOf(bus, await provisionFor(bus, config), config, log);
  client = new ConversationClient(bus, context.deployment, context.clock);
  retrieval = await startRetrieval(context);
  const { retriever, cache } = retrieval;
  roles.push(await startConversationHost(context, { retriever, cache, languageOf: () => "en" }));
  roles.push(await startWorker(context, { echo: { chunks: 40, delayMs: 20_000, replyBytes: 4_000 } }));
  await retrieval.store.put(TENANT, "shop", "delivery", {
    title: "Delivery",
    text: "Delivery of a heliotrope takes three working days. It is free from thirty euros.",
    locale: "en",
  });
});
afterAll(async () => {
  for (const role of roles.reverse()) await role.stop();
  await retrieval?.stop();
  await context?.bus.close();
  await nats?.stop();
});

const say = (n: number, text: string, channel = "web") =>
  client.send({
    tenant: TENANT,
    session: SESSION,
    id: `eva-message-${n}`,
    body: { parts: [{ type: "text", text }], channel },
  });
const tell = (type: string, body: unknown) =>
  tellActor(context.bus, context.clock, { kind: CONVERSATION, tenant: TENANT, key: SESSION }, type, body);
const raw = (change: Partial<Envelope>) =>
  context.bus.append(
    inboundSubject(route),
    encodeEnvelope({
      v: ENVELOPE_VERSION,
      id: "late",
      tenant: TENANT,
      kind: CONVERSATION,
      key: SESSION,
      type: "user",
      body: { parts: [{ type: "text", text: "obsidian" }], channel: "web" },
      at: Date.now(),
      ...change,
    }),
  );
const record = async () => {
  const kv = new Kv(context.bus, actorsBucket(shardOfRoute(route, context.deployment)));
  return kv.getFromLeader(route.path);
};
/** Streams in which something of the session is found. */
const found = async (needles = NEEDLES) => [
  ...new Set((await scan(context.bus, needles)).map((t) => t.stream)),
];
const closed = (turns: number) =>
  waitUntil(
    async () => {
      const transcript = await client.transcript(TENANT, SESSION);
      return transcript?.turns.filter(({ reply }) => reply !== null).length === turns;
    },
    { what: `${turns} closed turns` },
  );
const TOMBSTONE = [bucketStream(actorsBucket(shardOfRoute(route, { shards: 2 })))];

describe("a conversation with all that one can have", () => {
  let letter: Envelope;

  test("has left traces in every stream", async () => {
    await waitUntil(() => retrieval.retriever.fresh(), { what: "the index" });
    await say(1, "How long does delivery of a heliotrope take?");
    await closed(1);
    await waitUntil(async () => (await found()).includes("KV_cache"), { what: "a cached answer" });
    await client.feedback(TENANT, SESSION, 1, "up", "zanzibar was helpful");
    await tell("nope", { text: "quokka" });
    const dead = deadLettersOf(context.bus, context.deployment);
    const { reference } = await waitUntil(async () => (await dead.list({ key: SESSION })).letters[0], {
      what: "the dead letter",
    });
    letter = ((await dead.show(reference)) as { envelope: Envelope }).envelope;
    await raw({ v: 9, id: "eva-message-unreadable" });
    const delivery = deliveryKey(TENANT, SESSION, "d-1");
    await context.bus.append(bucketSubject(BUCKETS.deliveries, delivery), Buffer.from("obsidian"));
    await say(2, "Tell me slowly about obsidian.");
    await waitUntil(async () => (await found()).includes("INFER-slow"), { what: "a job that runs" });
    await say(3, "And zanzibar?", "email");
    await waitUntil(async () => (await found()).some((stream) => stream.startsWith("INBOUND")), {
      what: "a timer",
    });
    const shard = shardOfRoute(route, context.deployment);
    expect((await found()).sort()).toEqual(
      [
        "DEADLETTER",
        `INBOUND-${shard}`,
        "INFER-slow",
        "KV_cache",
        "KV_deliveries",
        ...TOMBSTONE,
        "KNOWLEDGE",
        "TOKENS",
        `TURNS-${shard}`,
      ].sort(),
    );
  });

  test("leaves a receipt and a tombstone, and nothing else anywhere", async () => {
    // The document is the tenant's and names a heliotrope whoever asks.
    const needles = NEEDLES.filter((needle) => needle !== "heliotrope");
    const receipt = await client.erase(TENANT, SESSION);
    expect(receipt).toMatchObject({ tenant: TENANT, session: SESSION, turns: 2 });
    // The worker was told, and sends what it has: the last that is heard of the job.
    await waitUntil(async () => (await found(needles)).length === 2, {
      what: "the late result to be dropped",
    });
    expect((await found(needles)).sort()).toEqual([...TOMBSTONE, "RECEIPTS"].sort());
    expect((await scan(context.bus, ["heliotrope"])).map(({ stream }) => stream)).toEqual(["KNOWLEDGE"]);
    expect(await scan(context.bus, [...MARKERS.slice(0, 2), "obsidian", "eva-message-"])).toEqual([]);
  });

  test("is not brought back by what comes late", async () => {
    await tell("result", {
      job: "of-old",
      turn: 2,
      step: 0,
      attempt: 1,
      finish: "stop",
      text: "quokka",
      citations: [],
      model: "echo",
      chunks: 1,
      usage: { inputTokens: 0, outputTokens: 0 },
      timings: { queuedMs: 0, firstTokenMs: 0, totalMs: 0 },
      worker: "w",
    });
    await raw({ type: "collected", body: { turn: 2 }, timer: { name: "collect", generation: 1 } });
    await raw({ ...letter, redriven: 1 });
    await raw({ id: "eva-message-2", redriven: 1 });
    await waitUntil(async () => (await found()).every((stream) => !stream.startsWith("INBOUND")), {
      what: "all of it to be handled",
    });
    expect(await client.exists(TENANT, SESSION)).toBe(false);
    expect(await client.transcript(TENANT, SESSION)).toBeUndefined();
    const needles = NEEDLES.filter((needle) => needle !== "heliotrope");
    expect((await found(needles)).sort()).toEqual([...TOMBSTONE, "RECEIPTS"].sort());
    expect(await client.erase(TENANT, SESSION)).toBeUndefined();
  });

  test("has a tombstone that goes away by itself, long after everything that could bring it back", async () => {
    const stored = await context.bus.jsm.streams.getMessage(TOMBSTONE[0] as string, {
      seq: (await record()).revision,
    });
    const seconds = Number(/^(\d+)s$/.exec(stored?.header.get("Nats-TTL") ?? "")?.[1]);
    expect(seconds).toBeGreaterThan(LIMITS.tombstoneAgeMs / 1_000 - 600);
    expect(seconds).toBeLessThanOrEqual(LIMITS.tombstoneAgeMs / 1_000);
  });

  test("may begin anew, with turn numbers that nobody has seen, and is kept like any other then", async () => {
    await say(9, "How long does delivery take?");
    await closed(1);
    expect((await client.transcript(TENANT, SESSION))?.turns[0]?.turn).toBe(3);
    const stored = await context.bus.jsm.streams.getMessage(TOMBSTONE[0] as string, {
      seq: (await record()).revision,
    });
    expect(stored?.header.get("Nats-TTL")).toBe("");
  });
});

test("an erase, a stop and thumbs for a session that never was leave nothing", async () => {
  expect(await client.erase(TENANT, "nobody-1")).toBeUndefined();
  await expect(client.feedback(TENANT, "nobody-1", 1, "up")).rejects.toMatchObject({
    code: "session.not-found",
  });
  expect(await scan(context.bus, ["nobody-1"])).toEqual([]);
});
