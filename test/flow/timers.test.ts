// Timers that outlive whoever set them: hosts that leave or die, a server that is gone when one is due.
import { afterEach, expect, test } from "vitest";
import { z } from "zod";
import { LIMITS } from "#contracts/limits.ts";
import { defineActor } from "#runtime/actor/define.ts";
import { ActorWorld } from "#test/harness/actor-world.ts";
import { begun, type CounterState, counter } from "#test/harness/counter.ts";
import { waitUntil } from "#test/harness/wait.ts";

let world: ActorWorld;
afterEach(() => world?.stop());

/** Sets timers to a time, which may be over. */
const clockwork = defineActor({
  kind: "clockwork",
  version: 1,
  state: z.object({ rung: z.array(z.string()) }),
  messages: { set: z.object({ timer: z.string(), at: z.number() }), ring: z.object({ timer: z.string() }) },
  initial: () => ({ rung: [] as string[] }),
  on: {
    set: (actor, { timer, at }) => actor.schedule(timer, { at }, "ring", { timer }),
    ring: (actor, { timer }) => void actor.state.rung.push(timer),
  },
});
const set = (key: string, timer: string, at: number) => world.tell("clockwork", key, "set", { timer, at });
const rung = async (key: string) =>
  (await world.state<{ rung: readonly string[] }>("clockwork", key))?.rung ?? [];
const rungWhen = (key: string, count: number) =>
  waitUntil(async () => (await rung(key)).length >= count && rung(key), {
    what: `${count} timers of ${key}`,
  });
const isPast = (at: number, what: string) => waitUntil(() => Date.now() > at, { what, pollMs: 20 });

test("a timer for a time that is over fires at once, once", async () => {
  world = await ActorWorld.start(2);
  await world.host([clockwork]);
  await set("late", "yesterday", Date.now() - 86_400_000);
  expect(await rungWhen("late", 1)).toEqual(["yesterday"]);
  await world.settled();
  expect(await rung("late")).toEqual(["yesterday"]);
});

test("timers go with their actor to another host, replaced ones only as the newer", async () => {
  world = await ActorWorld.start(2);
  const first = await world.host([clockwork]);
  await set("moving", "kept", Date.now() + 10_000);
  await set("moving", "replaced", Date.now() + 60_000);
  await waitUntil(async () => (await world.waiting()) === 2, { what: "both schedules" });
  const second = await world.host([clockwork]);
  await first.leave();
  await world.balanced(second);
  await set("moving", "replaced", Date.now() + 500);
  await rungWhen("moving", 2);
  // Nothing is stored for later any more.
  await world.settled();
  expect([...(await rung("moving"))].toSorted()).toEqual(["kept", "replaced"]);
});

test("a timer that was due while hosts and server were down fires when they are back, once", async () => {
  world = await ActorWorld.start(2);
  const host = await world.host([clockwork]);
  const due = Date.now() + 8_000;
  await set("down", "due", due);
  await waitUntil(async () => (await world.waiting()) === 1, { what: "the schedule" });
  await host.kill();
  await world.nats.kill();
  await isPast(due, "the time to be over");
  await world.nats.restart();
  await waitUntil(() => world.bus.online, { what: "the connection" });
  await world.host([clockwork]);
  expect(await rungWhen("down", 1)).toEqual(["due"]);
  await world.settled();
  expect(await rung("down")).toEqual(["due"]);
});

test("a message that ends its host and the server with it is found out all the same, with every attempt", async () => {
  world = await ActorWorld.start(2);
  const name = "ends both";
  await world.tell("counter", "victim", "hold", { name }, "k1");
  for (let deaths = 1; ; deaths++) {
    const host = await world.host([counter]);
    const letters = await waitUntil(
      async () => {
        const found = await world.deadLetters();
        return (found.length > 0 || begun.get(name) === deaths) && found;
      },
      { what: `attempt ${deaths}` },
    );
    if (letters.length > 0) {
      // The first owner had it as a message like any other and wrote nothing of it; that death is counted all the same.
      expect(letters).toMatchObject([{ id: "k1", attempts: { length: LIMITS.handlerAttempts - 1 } }]);
      break;
    }
    expect(deaths).toBeLessThanOrEqual(LIMITS.handlerAttempts);
    await host.kill();
    await world.nats.kill();
    await world.nats.restart();
    await waitUntil(() => world.bus.online, { what: "the connection" });
  }
  await world.tell("counter", "victim", "add", { name: "next" });
  await waitUntil(
    async () => (await world.state<CounterState>("counter", "victim"))?.seen.join() === "next",
    { what: "the actor to go on" },
  );
});
