// The order in which effects leave: together where nothing depends on it, in order on one subject, and never past a
// purge that was recorded between them.
import { expect, test } from "vitest";
import { publishOutbox } from "#runtime/actor/outbox.ts";
import type { StoredEffect } from "#runtime/actor/record.ts";
import type { Bus } from "#runtime/nats/connect.ts";

const data = new Uint8Array();
const append = (id: string, subject: string): StoredEffect => ({ id, k: "append", subject, data });
const purge = (before: number, subject = "turn.*"): StoredEffect => ({
  id: "p",
  k: "purge",
  subject,
  stream: "TURNS-0",
  before,
});

/** Every request takes a while; what began and ended is written down. */
function slowBus(): { bus: Bus; seen: string[] } {
  const seen: string[] = [];
  const request = async (what: string): Promise<void> => {
    seen.push(`> ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
    seen.push(`< ${what}`);
  };
  const bus = {
    publish: (subject: string) => void seen.push(`emit ${subject}`),
    append: (_: string, __: Uint8Array, { id }: { id: string }) => request(id).then(() => ({ seq: 7 })),
    jsm: {
      streams: {
        purge: async (_: string, { seq }: { seq: number }) =>
          request(`purge before ${seq}`).then(() => ({ purged: 1 })),
      },
    },
  };
  return { bus: bus as unknown as Bus, seen };
}
const { signal } = new AbortController();
const owner = { signal, stillOwner: async () => {} };
const publish = async (effects: StoredEffect[]): Promise<string[]> => {
  const { bus, seen } = slowBus();
  await publishOutbox(bus, effects, owner);
  return seen;
};

test("effects on different subjects go out together, those on one subject one after the other", async () => {
  const seen = await publish([append("a1", "a"), append("b1", "b"), append("a2", "a")]);
  expect(seen.slice(0, 2)).toEqual(["> a1", "> b1"]);
  expect(seen.indexOf("> a2")).toBeGreaterThan(seen.indexOf("< a1"));
  expect(seen).toHaveLength(6);
});

test("a purge removes what was recorded before it and nothing that was recorded after it", async () => {
  const seen = await publish([append("a", "turn.a"), purge(1), append("b", "turn.a")]);
  expect(seen).toEqual(["> a", "< a", "> purge before 8", "< purge before 8", "> b", "< b"]);
});

test.each([
  [5, "turn.x", ["> purge before 5", "< purge before 5"]],
  // What the same outbox put there before lies at 7.
  [5, "turn.a", ["> purge before 8", "< purge before 8"]],
  [5, "*.a", ["> purge before 8", "< purge before 8"]],
  [5, ">", ["> purge before 8", "< purge before 8"]],
  [5, "turn.a.*", ["> purge before 5", "< purge before 5"]],
  // Nothing was there.
  [1, "turn.x", []],
])("a purge of what lies before %i on %s", async (before, subject, wanted) => {
  expect((await publish([append("a", "turn.a"), purge(before, subject)])).slice(2)).toEqual(wanted);
});

test("nothing is left to do when there is nothing to publish", async () => {
  expect(await publish([])).toEqual([]);
});

test("whoever wants to know hears where an effect lies", async () => {
  const { bus } = slowBus();
  const places: number[] = [];
  const stored = new Map([["b1", (seq: number) => void places.push(seq)]]);
  await publishOutbox(bus, [append("a1", "a"), append("b1", "b")], { ...owner, stored });
  expect(places).toEqual([7]);
});

test("whoever is the owner no more sets no timer", async () => {
  const lost = new Error("another host owns it");
  const former = { signal, stillOwner: () => Promise.reject(lost) };
  const timer: StoredEffect = { id: "t", k: "schedule", subject: "sched.a", data, at: 0, target: "in.a" };
  const { bus, seen } = slowBus();
  await expect(publishOutbox(bus, [append("a1", "a"), timer], former)).rejects.toBe(lost);
  expect(seen.filter((what) => !what.includes("a1"))).toEqual([]);
});
