// The checker proves itself: histories in which everything went well pass, and each planted fault is found as what it is.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkHistory, type ViolationKind } from "#test/harness/checker.ts";
import { type Delivered, type HistoryEvent, markerOf, type SessionRef } from "#test/harness/history.ts";

/** Messages of a session, grouped into the turns that answer them; a message may need more than one attempt. */
type Plan = readonly { readonly attempts: number }[][];

const planOf = fc.array(
  fc.array(fc.record({ attempts: fc.integer({ min: 1, max: 3 }) }), { minLength: 1, maxLength: 3 }),
  {
    minLength: 2,
    maxLength: 5,
  },
);
const plans = fc.array(planOf, { minLength: 2, maxLength: 5 });

function sessionHistory(ref: SessionRef, plan: Plan): HistoryEvent[] {
  const events: HistoryEvent[] = [];
  for (const [index, burst] of plan.entries()) {
    const turn = index + 1;
    const messages = burst.map((_, n) => ({
      id: `m${turn}-${n}`,
      text: markerOf(ref.tenant, ref.session, `m${turn}-${n}`),
    }));
    for (const [n, { id, text }] of messages.entries())
      for (let attempt = burst[n]?.attempts ?? 1; attempt > 0; attempt--)
        events.push(
          { type: "invoke", ...ref, message: id, text, at: 0 },
          { type: attempt > 1 ? "unknown" : "ok", ...ref, message: id, at: 0 },
        );
    const job = `${ref.tenant}.${ref.session}.${turn}.job`;
    const delivery = `${ref.tenant}.${ref.session}.${turn}.record`;
    const shown = messages.map((m) => m.text).join(" ");
    events.push(
      { type: "commit", ...ref, revision: turn * 2, closed: turn - 1, effects: [job], at: 0 },
      { type: "effect", id: job, what: "job", at: 0 },
      { type: "job", ...ref, job, turn, shown, at: 0 },
      { type: "result", ...ref, job, turn, attempt: 1, at: 0 },
      { type: "commit", ...ref, revision: turn * 2 + 1, closed: turn, effects: [delivery], at: 0 },
      { type: "effect", id: delivery, what: "record", at: 0 },
      {
        type: "record",
        ...ref,
        delivery,
        turn,
        messages,
        reply: `You said ${shown}`,
        outcome: "answered",
        at: 0,
      },
    );
  }
  return events;
}

/** Sessions run side by side: their events are dealt out in turn, each in its own order. */
function wholeHistory(sessions: readonly Plan[]): HistoryEvent[] {
  const queues = sessions.map((plan, n) => sessionHistory({ tenant: `t${n % 2}`, session: `s${n}` }, plan));
  const events: HistoryEvent[] = [];
  while (queues.some((q) => q.length > 0))
    for (const q of queues) events.push(...q.splice(0, 1 + (events.length % 3)));
  return [...events, { type: "settled", queues: { "INBOUND-0": 0, "INFER-default": 0 }, at: 0 }];
}

const isRecord = (event: HistoryEvent | undefined): event is Delivered => event?.type === "record";
const indexOfRecord = (events: readonly HistoryEvent[]): number => events.findIndex(isRecord);
const edit = (events: readonly HistoryEvent[], change: (record: Delivered) => Delivered[]): HistoryEvent[] =>
  events.toSpliced(indexOfRecord(events), 1, ...change(events[indexOfRecord(events)] as Delivered));
const lastRecordOf = (events: readonly HistoryEvent[], like: SessionRef): number =>
  events.findLastIndex((e) => isRecord(e) && e.session === like.session);

interface Planted {
  readonly name: string;
  readonly found: ViolationKind;
  readonly plant: (events: readonly HistoryEvent[]) => HistoryEvent[];
}

const FAULTS: readonly Planted[] = [
  {
    name: "a lost message",
    found: "lost",
    plant: (events) => edit(events, (r) => [{ ...r, messages: r.messages.slice(1) }]),
  },
  {
    name: "a lost turn at the end of a session",
    found: "undelivered",
    plant: (events) => events.toSpliced(lastRecordOf(events, events[indexOfRecord(events)] as Delivered), 1),
  },
  {
    name: "a gap in the turns of a state that was not followed",
    found: "gap",
    plant: (events) =>
      edit(
        events.filter((e) => e.type !== "commit"),
        () => [],
      ),
  },
  {
    name: "a message in two turns",
    found: "doubled",
    plant: (events) => {
      const first = events[indexOfRecord(events)] as Delivered;
      const last = lastRecordOf(events, first);
      const record = events[last] as Delivered;
      return events.toSpliced(last, 1, {
        ...record,
        messages: [...record.messages, ...first.messages.slice(0, 1)],
      });
    },
  },
  {
    name: "a turn answered twice under two delivery ids",
    found: "deliveredTwice",
    plant: (events) => edit(events, (r) => [r, { ...r, delivery: `${r.delivery}-again` }]),
  },
  {
    name: "a delivery id that two turns share",
    found: "deliveredTwice",
    plant: (events) => {
      const first = events[indexOfRecord(events)] as Delivered;
      const last = lastRecordOf(events, first);
      return events.toSpliced(last, 1, { ...(events[last] as Delivered), delivery: first.delivery });
    },
  },
  {
    name: "two turns that changed places",
    found: "reordered",
    plant: (events) => {
      const first = events[indexOfRecord(events)] as Delivered;
      const last = lastRecordOf(events, first);
      const { messages } = events[last] as Delivered;
      return events
        .toSpliced(last, 1, { ...(events[last] as Delivered), messages: first.messages })
        .toSpliced(indexOfRecord(events), 1, { ...first, messages });
    },
  },
  {
    name: "a reply that quotes another tenant's message",
    found: "leaked",
    plant: (events) =>
      edit(events, (r) => [{ ...r, reply: `${r.reply} ${markerOf("t9", r.session, "m1-0")}` }]),
  },
  {
    name: "a model that is shown another session of the tenant",
    found: "leaked",
    plant: (events) =>
      events.map((e) =>
        e.type === "job" ? { ...e, shown: `${e.shown} ${markerOf(e.tenant, "s99", "m1-0")}` } : e,
      ),
  },
  {
    name: "a record that reaches another tenant",
    found: "invented",
    plant: (events) => edit(events, (r) => [{ ...r, tenant: "t9" }]),
  },
  {
    name: "a message that nobody sent",
    found: "invented",
    plant: (events) =>
      edit(events, (r) => [{ ...r, messages: [...r.messages, { id: "ghost", text: "boo" }] }]),
  },
  {
    name: "a message whose text was changed",
    found: "invented",
    plant: (events) =>
      edit(events, (r) => [{ ...r, messages: r.messages.map((m) => ({ ...m, text: "something else" })) }]),
  },
  {
    name: "a committed turn without its job",
    found: "effectMissing",
    plant: (events) =>
      events.toSpliced(
        events.findIndex((e) => e.type === "effect" && e.what === "job"),
        1,
      ),
  },
  {
    name: "a state that forgot a closed turn",
    found: "chain",
    plant: (events) =>
      events.map((e) => (e.type === "commit" && e.closed > 0 ? { ...e, closed: e.closed - 1 } : e)),
  },
  {
    name: "a revision that came twice",
    found: "chain",
    plant: (events) => events.flatMap((e) => [e, ...(e.type === "commit" ? [e] : [])]),
  },
  {
    name: "a queue that holds something at the end",
    found: "undrained",
    plant: (events) => events.map((e) => (e.type === "settled" ? { ...e, queues: { "INBOUND-0": 1 } } : e)),
  },
  {
    name: "a run that nobody waited for",
    found: "undrained",
    plant: (events) => events.filter((e) => e.type !== "settled"),
  },
  {
    name: "a run without a successful operation",
    found: "empty",
    plant: (events) => events.filter((e) => e.type !== "ok"),
  },
  {
    name: "a run in which nothing happened",
    found: "empty",
    plant: () => [{ type: "settled", queues: {}, at: 0 }],
  },
];

describe("the history checker", () => {
  test("finds nothing in histories in which everything went well", () => {
    fc.assert(
      fc.property(plans, (sessions) => {
        expect(checkHistory(wholeHistory(sessions)).violations).toEqual([]);
      }),
    );
  });

  test("counts a message that was stored in spite of its time-out once, and one that was not stored not at all", () => {
    const [first, ...rest] = wholeHistory([[[{ attempts: 1 }]]]);
    const unknown: HistoryEvent[] = [
      { type: "invoke", tenant: "t0", session: "s0", message: "late", text: "?", at: 0 },
      { type: "unknown", tenant: "t0", session: "s0", message: "late", at: 0 },
    ];
    expect(checkHistory([...unknown, first as HistoryEvent, ...rest]).violations).toEqual([]);
  });

  test("lets messages that were under way together stand in either order", () => {
    const ref = { tenant: "t0", session: "s0" };
    const send = (message: string): HistoryEvent => ({
      type: "invoke",
      ...ref,
      message,
      text: message,
      at: 0,
    });
    const ok = (message: string): HistoryEvent => ({ type: "ok", ...ref, message, at: 0 });
    const turn: HistoryEvent = {
      type: "record",
      ...ref,
      delivery: "d",
      turn: 1,
      messages: ["b", "a"].map((id) => ({ id, text: id })),
      reply: "",
      outcome: "answered",
      at: 0,
    };
    const settled: HistoryEvent = { type: "settled", queues: {}, at: 0 };
    expect(checkHistory([send("a"), send("b"), ok("a"), ok("b"), turn, settled]).violations).toEqual([]);
    expect(checkHistory([send("a"), ok("a"), send("b"), ok("b"), turn, settled]).counts.reordered).toBe(1);
  });

  test.for(FAULTS)("finds $name", ({ found, plant }) => {
    fc.assert(
      fc.property(plans, (sessions) => {
        const { counts } = checkHistory(plant(wholeHistory(sessions)));
        expect(counts[found]).toBeGreaterThan(0);
      }),
    );
  });
});
