// What the user of a conversation sees of a message that its handler cannot do.
import { expect, test } from "vitest";
import { shardOf } from "#contracts/ids.ts";
import { routeOf, turnSubject, turnsStream } from "#contracts/subjects.ts";
import { CONVERSATION } from "#contracts/turn.ts";
import { lastMessage } from "#runtime/nats/reader.ts";
import { ConversationWorld } from "#test/harness/conversation-world.ts";
import { waitUntil } from "#test/harness/wait.ts";

test("a message that is given up stands in the transcript as it was written, its apology goes where it came from", async () => {
  const world = await ConversationWorld.start(2);
  try {
    const languageOf = (text: string): undefined => {
      if (text.includes("unlucky")) throw new Error("a bug");
    };
    await world.host({}, { languageOf });
    await world.worker();
    // What is collected for a moment is given up with its timer, the others by themselves.
    for (const channel of ["whatsapp", "chat"]) {
      await world.send(channel, "m1", "An unlucky question?", channel);
      const [turn] = await world.closed(channel, 1);
      expect(turn).toMatchObject({
        messages: [{ id: "m1", text: "An unlucky question?" }],
        reply: expect.stringMatching(/^Sorry/),
      });
      const shard = shardOf(routeOf({ kind: CONVERSATION, tenant: "demo", key: channel }).partition, 2);
      const subject = turnSubject(shard, channel, "demo", channel);
      await waitUntil(() => lastMessage(world.bus, turnsStream(shard), subject), { what: "its record" });
      await world.send(channel, "m2", "Another question?", channel);
      expect((await world.closed(channel, 2))[1]).toMatchObject({ outcome: "answered" });
    }
  } finally {
    await world.stop();
  }
});
