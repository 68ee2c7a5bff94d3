// What a conversation still knows when its host has forgotten it, and what it costs to keep it.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { decode } from "#contracts/codec.ts";
import type { Job } from "#contracts/job.ts";
import { actorsBucket, inferSessionFilter, inferStream, routeOf } from "#contracts/subjects.ts";
import { CONVERSATION } from "#contracts/turn.ts";
import { shardOfRoute } from "#runtime/nats/inbound.ts";
import { Kv } from "#runtime/nats/kv.ts";
import { nextMessage } from "#runtime/nats/reader.ts";
import { ConversationWorld } from "#test/harness/conversation-world.ts";
import { waitUntil } from "#test/harness/wait.ts";

describe("a conversation that is out of memory", () => {
  let world: ConversationWorld;
  beforeAll(async () => {
    world = await ConversationWorld.start(2);
    await world.host({ residency: 1 });
  });
  afterAll(() => world?.stop());

  const recordBytes = async (session: string): Promise<number> => {
    const route = routeOf({ kind: CONVERSATION, tenant: "demo", key: session });
    const kv = new Kv(world.bus, actorsBucket(shardOfRoute(route, world.deployment)));
    return (await kv.getFromLeader(route.path)).value?.length ?? 0;
  };
  const queuedJob = (session: string): Promise<Job> =>
    waitUntil(
      async () => {
        const stream = inferStream("default");
        const found = await nextMessage(world.bus, stream, inferSessionFilter("default", "demo", session));
        return found && decode<Job>(found.data);
      },
      { timeoutMs: 10_000, what: `a job of ${session}` },
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
