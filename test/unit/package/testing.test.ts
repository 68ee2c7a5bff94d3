// The kit that authors test their actors with: it has to behave as the runtime does where an author can see it.
import { expect, test } from "vitest";
import { z } from "zod";
import { defineActor } from "#ops/package/index.ts";
import { ActorInMemory } from "#ops/package/testing.ts";

const basket = defineActor({
  kind: "basket",
  version: 2,
  state: z.object({ items: z.array(z.string()), reminders: z.number() }),
  messages: {
    add: z.object({ item: z.string().min(1) }),
    remind: z.object({}),
    fail: z.object({}),
  },
  initial: () => ({ items: [], reminders: 0 }),
  view: (state) => state.items.length,
  upgrades: { 1: (old) => ({ ...(old as object), reminders: 0 }) },
  on: {
    add: (actor, { item }) => {
      actor.state.items.push(item);
      actor.schedule("reminder", { afterMs: 1_000 }, "remind", {});
      actor.reply(actor.state.items.length);
    },
    remind: (actor) => {
      actor.state.reminders++;
      actor.send("conversation", actor.key, "say", { text: "Your basket waits" });
    },
    fail: (actor) => {
      actor.state.items = [];
      actor.send("conversation", actor.key, "say", {});
      throw new Error("no");
    },
  },
});

test("a message changes the state, is answered and shows in the view", async () => {
  const actor = new ActorInMemory(basket, { key: "ann" });
  expect(await actor.send("add", { item: "tea" })).toBe(1);
  expect(actor.view).toBe(1);
  expect(actor.timers).toEqual(["reminder"]);
});

test("a timer fires once, when its time has come, and a later one replaces it", async () => {
  const actor = new ActorInMemory(basket, { key: "ann" });
  await actor.send("add", { item: "tea" });
  await actor.advance(600);
  await actor.send("add", { item: "cup" });
  await actor.advance(999);
  expect(actor.sent).toEqual([]);
  await actor.advance(5_000);
  expect(actor.sent).toEqual([
    { kind: "conversation", key: "ann", type: "say", body: { text: "Your basket waits" } },
  ]);
  expect(actor.timers).toEqual([]);
});

test("a handler that throws leaves nothing behind", async () => {
  const actor = new ActorInMemory(basket);
  await actor.send("add", { item: "tea" });
  await expect(actor.send("fail", {})).rejects.toThrow("no");
  expect(actor.view).toBe(1);
  expect(actor.sent).toEqual([]);
});

test("bodies are parsed and stored states upgraded", async () => {
  const actor = new ActorInMemory(basket, { stored: { state: { items: ["tea"] }, version: 1 } });
  expect(actor.state).toEqual({ items: ["tea"], reminders: 0 });
  await expect(actor.send("add", { item: "" })).rejects.toThrow();
});
