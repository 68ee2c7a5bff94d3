// Conversations as the benchmark writes them beside one that was really had: what is measured is what the product leaves.
import { afterAll, beforeAll, expect, test } from "vitest";
import { decode } from "#contracts/codec.ts";
import type { Job } from "#contracts/job.ts";
import { actorsBucket, keptKey, routeOf, turnSessionFilter, turnsStream } from "#contracts/subjects.ts";
import { CONVERSATION, type TurnRecord } from "#contracts/turn.ts";
import { sessionOf, storeConversations } from "#ops/bench/stored-conversations.ts";
import { shardOfRoute } from "#runtime/nats/inbound.ts";
import { Kv } from "#runtime/nats/kv.ts";
import { messagesFrom } from "#runtime/nats/reader.ts";
import { ConversationWorld } from "#test/harness/conversation-world.ts";
import { waitUntil } from "#test/harness/wait.ts";

const TURNS = 3;
const COUNT = 300;

let world: ConversationWorld;
beforeAll(async () => {
  world = await ConversationWorld.start(2);
  await storeConversations(world.bus, world.deployment, {
    count: COUNT,
    turns: TURNS,
    seed: 1,
    say: () => {},
  });
  await world.host({ idleMinutes: 0.01 }, { restMs: 20 });
  await world.worker({ chunks: 0, replyBytes: 400 });
});
afterAll(() => world?.stop());

async function leftOf(tenant: string, session: string) {
  const route = routeOf({ kind: CONVERSATION, tenant, key: session });
  const shard = shardOfRoute(route, world.deployment);
  const kv = new Kv(world.bus, actorsBucket(shard));
  const [record, kept] = await Promise.all([kv.getFromLeader(route.path), kv.getFromLeader(keptKey(route))]);
  const filter = turnSessionFilter(shard, tenant, session);
  const turns = await messagesFrom(world.bus, turnsStream(shard), filter, 1, 100);
  return {
    revision: record.revision,
    record: record.value && decode<{ s: { idleSince?: number } }>(record.value),
    kept: kept.value && decode<{ at: number; data: { turns: unknown[] } }>(kept.value),
    turns: turns.map(({ data }) => decode<TurnRecord>(data)),
  };
}

/** Names and kinds of all that a value holds; of a list those of its first element, and how long it is. */
function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.length === 0 ? [] : [value.length, shapeOf(value[0])];
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return typeof value;
  const entries = Object.entries(value).map(([name, each]) => [name, shapeOf(each)] as const);
  return Object.fromEntries(entries.sort(([a], [b]) => a.localeCompare(b)));
}

test("one that is written has what one that was had leaves", async () => {
  for (let n = 1; n <= TURNS; n++) {
    await world.client.send({
      tenant: "demo",
      session: "real",
      id: `m-${n}`,
      body: { parts: [{ type: "text", text: `Question ${n}?` }], channel: "web", locale: "en" },
    });
    await world.closed("real", n);
  }
  const real = await waitUntil(
    async () => {
      const left = await leftOf("demo", "real");
      return left.record?.s.idleSince !== undefined && left.kept?.at === left.revision && left;
    },
    { what: "the conversation to be closed as idle, and to rest" },
  );
  const { tenant, session } = sessionOf(7);
  const written = await leftOf(tenant, session);
  expect(written.kept?.at).toBe(written.revision);
  expect(shapeOf(real.record)).toEqual(shapeOf(written.record));
  expect(shapeOf(real.kept)).toEqual(shapeOf(written.kept));
  expect(shapeOf(real.turns)).toEqual(shapeOf(written.turns));
});

test("one that is written goes on where it was", async () => {
  const { tenant, session } = sessionOf(COUNT - 1);
  const questions: string[] = (await leftOf(tenant, session)).turns.map(
    ({ messages }) => messages[0]?.text ?? "",
  );
  expect(questions).toHaveLength(TURNS);
  let shown: string[] | undefined;
  world.bus.subscribe("infer.>", ({ data }) => {
    const job = decode<Job>(data);
    if (job.session === session)
      shown = job.messages.filter(({ role }) => role === "user").map(({ content }) => content);
  });
  await world.bus.flush();
  const body = { parts: [{ type: "text" as const, text: "And now?" }], channel: "web" };
  await world.client.send({ tenant, session, id: "next", body });
  await waitUntil(() => shown !== undefined, { what: "the question" });
  expect(shown).toEqual([...questions, "And now?"]);
});
