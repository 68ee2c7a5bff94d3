// What a conversation still knows when its host has forgotten it, and what it costs to keep it.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ConversationState } from "#actors/conversation/turn.ts";
import { decode } from "#contracts/codec.ts";
import type { Job } from "#contracts/job.ts";
import { LIMITS } from "#contracts/limits.ts";
import { actorsBucket, inferSessionFilter, inferStream, routeOf } from "#contracts/subjects.ts";
import { CONVERSATION } from "#contracts/turn.ts";
import { type ActorRecord, decodeRecord } from "#runtime/actor/record.ts";
import { shardOfRoute } from "#runtime/nats/inbound.ts";
import { Kv } from "#runtime/nats/kv.ts";
import { nextMessage } from "#runtime/nats/reader.ts";
import { ConversationWorld } from "#test/harness/conversation-world.ts";
import { waitUntil } from "#test/harness/wait.ts";

async function recordOf(world: ConversationWorld, session: string): Promise<ActorRecord & { bytes: number }> {
  const route = routeOf({ kind: CONVERSATION, tenant: "demo", key: session });
  const kv = new Kv(world.bus, actorsBucket(shardOfRoute(route, world.deployment)));
  const value = (await kv.getFromLeader(route.path)).value ?? new Uint8Array();
  return { ...decodeRecord(value), bytes: value.length };
}

describe("a conversation that nobody writes to", () => {
  let world: ConversationWorld;
  beforeAll(async () => {
    world = await ConversationWorld.start(2);
    await world.host({ idleMinutes: 0.01 }, { restMs: 20 });
    await world.worker({ chunks: 0, replyBytes: 1_500 });
  });
  afterAll(() => world?.stop());

  test("shrinks to a small record, keeps its turns and its ids, and goes on where it was", async () => {
    const count = LIMITS.processedIds + 20;
    for (let n = 0; n < count; n++) await world.send("quiet", `message-number-${n}`, "Hello?");
    await waitUntil(
      async () => {
        const turns = (await world.client.transcript("demo", "quiet"))?.turns ?? [];
        return turns.flatMap((turn) => (turn.reply === null ? [] : turn.messages)).length === count;
      },
      { what: "all to be answered" },
    );
    const stateOf = async () => (await recordOf(world, "quiet")).state as ConversationState;
    await waitUntil(async () => (await stateOf()).idleSince !== undefined, {
      what: "the conversation to be closed as idle",
    });
    // At rest it holds nothing that was sent long ago: what was written down of the ids was in its outbox.
    const { bytes, processed } = await waitUntil(
      async () => {
        const record = await recordOf(world, "quiet");
        return record.outbox.length === 0 && record;
      },
      { what: "the conversation to rest" },
    );
    expect(bytes).toBeLessThan(1_000);
    expect(processed.ids.length).toBeLessThanOrEqual(1);
    const turns = (await world.client.transcript("demo", "quiet"))?.turns ?? [];

    const events = await world.follow("quiet");
    await world.send("quiet", "message-number-3", "Hello?");
    await waitUntil(() => events.some(({ type }) => type === "done"), { what: "the old answer" });
    expect(events.at(-1)?.turn).toBe(
      turns.find(({ messages }) => messages.some((m) => m.id === "message-number-3"))?.turn,
    );
    await world.send("quiet", "message-number-new", "Still there?");
    const more = await world.closed("quiet", turns.length + 1);
    expect(more.at(-1)).toMatchObject({ turn: turns.length + 1, messages: [{ id: "message-number-new" }] });
    expect((await stateOf()).idleSince).toBeUndefined();
  });
});

describe("a conversation that is out of memory", () => {
  let world: ConversationWorld;
  beforeAll(async () => {
    world = await ConversationWorld.start(2);
    await world.host({ residency: 1 });
  });
  afterAll(() => world?.stop());

  const recordBytes = async (session: string): Promise<number> => (await recordOf(world, session)).bytes;
  const queuedJob = (session: string): Promise<Job> =>
    waitUntil(
      async () => {
        const stream = inferStream("default");
        const found = await nextMessage(world.bus, stream, inferSessionFilter("default", "demo", session));
        return found && decode<Job>(found.data);
      },
      { what: `a job of ${session}` },
    );

  test("remembers its turns when it goes on, and its record does not grow with them", async () => {
    const worker = await world.worker({ chunks: 0, replyBytes: 1_500 });
    for (let n = 1; n <= 4; n++) {
      await world.send("long", `m${n}`, `Question ${n}?`);
      await world.closed("long", n);
    }
    // Its last turn, which its outbox holds as well, and little else.
    const small = await recordBytes("long");
    expect(small).toBeLessThan(8_000);
    for (let n = 5; n <= 8; n++) {
      await world.send("long", `m${n}`, `Question ${n}?`);
      await world.closed("long", n);
    }
    expect((await recordBytes("long")) - small).toBeLessThan(100);

    await world.send("other", "o1", "Somebody else?");
    await world.closed("other", 1);
    await world.end(worker);
    await world.send("long", "m9", "Do you remember?");
    const { messages } = await queuedJob("long");
    const said = messages.filter(({ role }) => role !== "system").map(({ content }) => content);
    expect(said.filter((_, n) => n % 2 === 0)).toEqual([
      ...Array.from({ length: 8 }, (_, n) => `Question ${n + 1}?`),
      "Do you remember?",
    ]);
    expect(said[1]).toMatch(/^echo Question 1\?/);
  });
});
