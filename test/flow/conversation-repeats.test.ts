// A repeat that is older than the ids an actor remembers, on a real server with a real worker and the echo model.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { LIMITS } from "#contracts/limits.ts";
import type { RunningRole } from "#ops/compose/context.ts";
import { ConversationWorld } from "#test/harness/conversation-world.ts";
import { waitUntil } from "#test/harness/wait.ts";

const having = (id: string) => expect.arrayContaining([expect.objectContaining({ id })]);

describe("a conversation that has forgotten ids", () => {
  let world: ConversationWorld;
  let host: RunningRole;
  beforeAll(async () => {
    world = await ConversationWorld.start(2);
    host = await world.host();
    await world.worker({ chunks: 4, replyBytes: 200 });
  });
  afterAll(() => world?.stop());

  test("a message that comes again after its id was forgotten still gets the turn it has", async () => {
    await world.send("old", "m0", "The first one?");
    await world.closed("old", 1);
    // Bursts of the size of the ring's remainder: what counts is how many ids came, not how many turns they made.
    for (let n = 1; n <= LIMITS.processedIds; n++) await world.send("old", `m${n}`, "More?");
    await waitUntil(
      async () => {
        const turns = (await world.client.transcript("demo", "old"))?.turns ?? [];
        return turns.flatMap((t) => (t.reply === null ? [] : t.messages)).length === LIMITS.processedIds + 1;
      },
      { what: "every message to be answered" },
    );
    const before = (await world.client.transcript("demo", "old"))?.turns.length;
    // Forgotten, remembered but no longer in the history, the last one, and one that never was.
    for (const [id, found] of [
      ["m0", 1],
      ["m100", expect.any(Number)],
      [`m${LIMITS.processedIds}`, before],
    ] as const)
      expect(await world.client.turnOf("demo", "old", id)).toMatchObject({
        turn: found,
        messages: having(id),
      });
    expect(await world.client.turnOf("demo", "old", "m999")).toBeUndefined();
    expect(await world.client.turnOf("demo", "nobody", "m0")).toBeUndefined();
    const events = await world.follow("old");
    await world.send("old", "m0", "The first one?");
    await waitUntil(() => events.some(({ type }) => type === "done"), { what: "the answer of long ago" });
    expect(events.at(-1)).toMatchObject({ turn: 1, answer: { turn: 1 } });
    expect((await world.client.transcript("demo", "old"))?.turns.length).toBe(before);

    // The next host reads the ids where the record says that they lie.
    await world.end(host);
    await world.host();
    const [second] = (await world.client.transcript("demo", "old"))?.turns.slice(1) ?? [];
    const id = second?.messages[0]?.id as string;
    events.length = 0;
    await world.send("old", id, "More?");
    await waitUntil(() => events.some(({ type }) => type === "done"), { what: "the answer of long ago" });
    expect(events.at(-1)).toMatchObject({ turn: 2, answer: { turn: 2 } });
    await world.send("old", "m-new", "And now?");
    await world.closed("old", (before as number) + 1);
  });
});
