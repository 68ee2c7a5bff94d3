// The events of a session as one stream: resumed, merged with the store, closed whatever was lost.
import { describe, expect, test, vi } from "vitest";
import { JetclawError } from "#contracts/errors.ts";
import {
  expectProblem,
  gatewayForEach,
  readEvents,
  startTestGateway,
  type TestGateway,
  type TestKeys,
  untilDone,
} from "#test/harness/gateway.ts";

let store: TestKeys;
let gateway: TestGateway;
const settings = { repeatCheckMs: 20, quietCheckMs: 60 };

gatewayForEach({ settings }, (each, keys) => {
  gateway = each;
  store = keys;
});

const stream = { accept: "text/event-stream" };
const messages = (session: string): string => `/v1/conversations/${encodeURIComponent(session)}/messages`;
const events = (session: string): string => `/v1/conversations/${encodeURIComponent(session)}/events`;
const message = {
  tenant: "demo",
  session: "ann",
  id: "m1",
  body: { parts: [{ type: "text" as const, text: "x" }], channel: "web" },
};

describe("events of a session", () => {
  const at = (id: string) => ({ headers: { ...stream, "last-event-id": id } });

  test("resume after any event without gap or repeat, also at another gateway", async () => {
    const { conversations } = gateway;
    const all = await readEvents(
      await gateway.ask(messages("ann"), { body: { text: "a b c" }, headers: stream }),
      untilDone,
    );
    const other = await startTestGateway({ keys: store.keys, settings, conversations });
    try {
      for (const [n, event] of all.slice(0, -1).entries()) {
        const rest = await readEvents(await other.ask(events("ann"), at(event.id as string)), untilDone);
        expect(rest).toEqual(all.slice(n + 1));
      }
    } finally {
      await other.stop();
    }
  });

  test("live events that come while the store is read are merged once", async () => {
    const { conversations } = gateway;
    const turn = conversations.open(message);
    conversations.delta(message, turn, 1, 1, "a");
    const replay = conversations.replay.bind(conversations);
    conversations.replay = async (...args) => {
      const stored = await replay(...args);
      conversations.delta(message, turn, 1, 2, "b");
      conversations.delta(message, turn, 1, 3, "c");
      return [...stored, ...(await replay(...args)).filter((e) => e.number === 2 && e.type === "delta")];
    };
    const response = await gateway.ask(events("ann"), at("1.0.0"));
    conversations.close(message, turn, "abc", { attempt: 1, number: 4 });
    const read = await readEvents(response, untilDone);
    expect(read.map((e) => e.id)).toEqual(["1.1.1", "1.1.2", "1.1.3", "1.1.4"]);
  });

  test("without Last-Event-ID a stream begins now, with the running turn from its start", async () => {
    const { conversations } = gateway;
    conversations.answer({ ...message, id: "m0" }, "old");
    const turn = conversations.open(message);
    conversations.delta(message, turn, 1, 1, "a");
    const response = await gateway.ask(events("ann"), { headers: stream });
    conversations.delta(message, turn, 1, 2, "b");
    conversations.close(message, turn, "ab", { attempt: 1, number: 3 });
    const read = await readEvents(response, untilDone);
    expect(read.map((e) => e.id)).toEqual(["2.0.0", "2.1.1", "2.1.2", "2.1.3"]);
  });

  test("a done that was lost live comes from the store when the turn goes quiet", async () => {
    const { conversations } = gateway;
    const response = await gateway.ask(events("ann"), { headers: stream });
    const turn = conversations.open(message);
    conversations.close(message, turn, "quiet", { attempt: 1, number: 1 }, { live: false });
    const read = await readEvents(response, untilDone);
    expect(read.map((e) => e.event)).toEqual(["turn", "done"]);
  });

  test.each([
    ["while it is resumed", true, false],
    ["before it was resumed", false, false],
    ["and begun anew before it was resumed", false, true],
  ])(
    "who waits for the end of a turn hears of it where the conversation was erased %s",
    async (_, resumed, anew) => {
      const { conversations } = gateway;
      conversations.answer({ ...message, id: "m0" }, "old");
      const turn = conversations.open(message);
      conversations.delta(message, turn, 1, 1, "a");
      const resume = () => gateway.ask(events("ann"), at("2.1.1"));
      const early = resumed ? await resume() : undefined;
      await conversations.erase("demo", "ann");
      if (anew) conversations.open({ ...message, id: "m2" });
      const read = await readEvents(early ?? (await resume()), untilDone);
      expect(read.at(-1)).toMatchObject({ event: "error", data: { code: "session.not-found", status: 404 } });
    },
  );

  test("a position in a turn that the conversation has not come to hides none of its turns", async () => {
    const { conversations } = gateway;
    conversations.answer({ ...message, id: "m0" }, "old");
    const response = await gateway.ask(events("ann"), at("7.1.3"));
    const turn = conversations.open(message);
    conversations.close(message, turn, "new", { attempt: 1, number: 1 });
    const read = await readEvents(response, (_, all) => all.filter((e) => e.event === "done").length === 2);
    expect(read.filter((e) => e.event === "done").map((e) => e.data.text)).toEqual(["old", "new"]);
  });

  test("a turn that runs on in silence, and one after an erase, are waited for", async () => {
    const { conversations } = gateway;
    const turn = conversations.open({ ...message, id: "m0" });
    await conversations.erase("demo", "ann");
    const next = conversations.open(message);
    expect(next).toBeGreaterThan(turn);
    const extent = vi.spyOn(conversations, "extent");
    const response = await gateway.ask(events("ann"), at(`${next}.0.0`));
    await vi.waitFor(() => expect(extent.mock.calls.length).toBeGreaterThan(1), { timeout: 20_000 });
    conversations.close(message, next, "there", { attempt: 1, number: 1 });
    expect((await readEvents(response, untilDone)).map((e) => e.event)).toEqual(["done"]);
  });

  test("an answer closed by a reaper ends a turn in which a worker had spoken", async () => {
    const { conversations } = gateway;
    const response = await gateway.ask(events("ann"), { headers: stream });
    const turn = conversations.open(message);
    conversations.delta(message, turn, 1, 1, "I was");
    conversations.close(message, turn, "Sorry.", { attempt: 0, number: 1 });
    expect((await readEvents(response, untilDone)).map((e) => [e.event, e.id])).toEqual([
      ["turn", "1.0.0"],
      ["delta", "1.1.1"],
      ["done", "1.1.2"],
    ]);
  });

  test("a stream that cannot begin leaves no timer behind", async () => {
    const quietCheckMs = 4_321;
    const timers = vi.spyOn(globalThis, "setInterval");
    const cut = await startTestGateway({ keys: store.keys, settings: { quietCheckMs } });
    const checks = (): number => timers.mock.calls.filter(([, ms]) => ms === quietCheckMs).length;
    try {
      const { follow } = cut.conversations;
      cut.conversations.follow = () => Promise.reject(new JetclawError("nats.unavailable"));
      await expectProblem(await cut.ask(events("ann"), { headers: stream }), 503, "nats.unavailable");
      expect(checks()).toBe(0);
      cut.conversations.follow = follow;
      const leaving = new AbortController();
      await cut.ask(events("ann"), { headers: stream, signal: leaving.signal });
      expect(checks()).toBe(1);
      leaving.abort();
    } finally {
      timers.mockRestore();
      await cut.stop();
    }
  });

  test("Last-Event-ID that is none is 400", async () => {
    expect((await gateway.ask(events("ann"), at("17"))).status).toBe(400);
  });
});
