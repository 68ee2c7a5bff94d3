import { expect, test } from "vitest";
import type { Conversations } from "#actors/conversation/port.ts";
import { SessionHub } from "#actors/gateway/session-hub.ts";
import { systemClock } from "#runtime/clock.ts";

test("a message that came twice keeps its place when only one of the two requests is given back", async () => {
  const conversations = {
    follow: async () => ({ stop() {} }),
    extent: async () => ({ turn: 0, erasedTurn: 0, erasedSeq: 0 }),
  } as unknown as Conversations;
  const hub = new SessionHub({ conversations, clock: systemClock, unansweredMessages: 1, forgetMs: 60_000 });
  for (const lost of [0, 1]) {
    const session = `ann-${lost}`;
    const places = [await hub.admit("acme", session, "m1"), await hub.admit("acme", session, "m1")];
    places[lost]?.release();
    expect(hub.awaits("acme", session)).toBe(true);
    await expect(hub.admit("acme", session, "m2")).rejects.toMatchObject({ code: "mailbox.full" });
    places[1 - lost]?.release();
    expect(hub.awaits("acme", session)).toBe(false);
  }
  // Given back late, it takes nothing from the one that came after the answer.
  const late = await hub.admit("acme", "ben", "m1");
  hub.answered("acme", "ben", "m1");
  await hub.admit("acme", "ben", "m1");
  late.release();
  expect(hub.awaits("acme", "ben")).toBe(true);
  hub.close();
});
