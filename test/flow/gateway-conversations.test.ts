// Messages and their answers over HTTP, with conversations that lose, delay and repeat events as the test says.
import { describe, expect, test } from "vitest";
import type { IncomingMessage } from "#actors/conversation/port.ts";
import { JetclawError } from "#contracts/errors.ts";
import { LIMITS } from "#contracts/limits.ts";
import {
  expectProblem,
  gatewayForEach,
  readEvents,
  startTestGateway,
  type TestGateway,
  type TestKeys,
  textOfEvents,
  untilDone,
} from "#test/harness/gateway.ts";
import { waitUntil } from "#test/harness/wait.ts";

let store: TestKeys;
let gateway: TestGateway;
const settings = { repeatCheckMs: 20, quietCheckMs: 60 };

gatewayForEach({ settings }, (each, keys) => {
  gateway = each;
  store = keys;
});

const stream = { accept: "text/event-stream" };
const messages = (session: string): string => `/v1/conversations/${encodeURIComponent(session)}/messages`;
const DEMO = { tenant: "demo", session: "ann" };

/** Collects messages instead of answering them. */
function holdMessages(): IncomingMessage[] {
  const held: IncomingMessage[] = [];
  gateway.conversations.onMessage = (message) => held.push(message);
  return held;
}
const firstHeld = (held: readonly IncomingMessage[]): Promise<IncomingMessage> =>
  waitUntil(() => held[0], { what: "a message" });

describe("JSON", () => {
  test("waits for the answer and gives it in the documented shape", async () => {
    const response = await gateway.ask(messages("ann"), { body: { text: "hello there" } });
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({
      session: "ann",
      turn: 1,
      reply: "You said: hello there",
      citations: [],
      model: "scripted",
      cached: false,
      usage: { inputTokens: 1, outputTokens: 1 },
      outcome: "answered",
    });
  });

  test("parts, locale, assistant and metadata reach the conversation as they came", async () => {
    const parts = [
      { type: "text", text: "hi" },
      { type: "button", id: "b", label: "Yes" },
    ];
    await gateway.ask(messages("ann"), {
      body: { parts, locale: "nl-BE", assistant: "shop", metadata: { page: "/a" }, id: "m1" },
    });
    expect(gateway.conversations.sent[0]).toMatchObject({
      id: "m1",
      body: { parts, locale: "nl-BE", assistant: "shop", metadata: { page: "/a" }, channel: "web" },
    });
  });

  test("parts of more text than a message may have are refused, and not answered without it", async () => {
    const parts = Array.from({ length: 3 }, () => ({ type: "text", text: "word ".repeat(4_000) }));
    const problem = await expectProblem(
      await gateway.ask(messages("ann"), { body: { parts } }),
      400,
      "request.invalid",
    );
    expect(problem.detail).toContain(`parts: at most ${LIMITS.messageTextChars} characters`);
    expect((await gateway.ask(messages("ann"), { body: { parts: parts.slice(0, 1) } })).status).toBe(200);
  });

  test.each([
    ["JSON", {}, true],
    ["a stream", stream, true],
    ["JSON, before any turn has taken it", {}, false],
  ])("who waits for %s is told that the conversation was erased meanwhile", async (_, headers, opened) => {
    const held = holdMessages();
    const asked = gateway.ask(messages("ann"), { body: { text: "hi" }, headers });
    const message = await firstHeld(held);
    if (opened) gateway.conversations.open(message);
    await gateway.conversations.erase("demo", "ann");
    const response = await asked;
    if (headers === stream) {
      const [last] = (await readEvents(response, untilDone)).slice(-1);
      expect(last).toMatchObject({ event: "error", data: { code: "session.not-found" } });
    } else await expectProblem(response, 404, "session.not-found");
  });

  test("a wait that ends before the answer is 504 naming the session, and the turn goes on", async () => {
    const held = holdMessages();
    const response = await gateway.ask(messages("ann"), {
      body: { text: "hi", id: "m1" },
      headers: { prefer: "wait=0" },
    });
    expect(response.status).toBe(504);
    expect(await response.json()).toMatchObject({
      code: "turn.timeout",
      session: "ann",
      id: "m1",
      retry: "later",
    });
    gateway.conversations.answer(await firstHeld(held), "late");
    const transcript = (await (await gateway.ask("/v1/conversations/ann")).json()) as {
      turns: { reply: string }[];
    };
    expect(transcript.turns[0]?.reply).toBe("late");
  });

  test("Prefer: respond-async is 202 with Location", async () => {
    const response = await gateway.ask(messages("a/b"), {
      body: { text: "hi", id: "m1" },
      headers: { prefer: "respond-async" },
    });
    expect(response.status).toBe(202);
    expect(response.headers.get("location")).toBe("/v1/conversations/a%2Fb");
    expect(await response.json()).toEqual({ session: "a/b", id: "m1" });
  });

  test("a repeated id gets the turn it already has", async () => {
    const first = await (await gateway.ask(messages("ann"), { body: { text: "one", id: "m1" } })).json();
    await gateway.ask(messages("ann"), { body: { text: "two", id: "m2" } });
    const again = await (await gateway.ask(messages("ann"), { body: { text: "one", id: "m1" } })).json();
    expect(again).toEqual(first);
  });

  test("a repeated id whose events are gone is answered from the transcript", async () => {
    const held = holdMessages();
    const asked = gateway.ask(messages("ann"), { body: { text: "one", id: "m1" } });
    gateway.conversations.answer(await firstHeld(held), "forgotten by the stream", {
      live: false,
      stored: false,
    });
    expect(await (await asked).json()).toMatchObject({
      turn: 1,
      reply: "forgotten by the stream",
      outcome: "answered",
    });
  });

  test("an answer whose live events were all lost is found in the store", async () => {
    const held = holdMessages();
    const asked = gateway.ask(messages("ann"), { body: { text: "one" } });
    gateway.conversations.answer(await firstHeld(held), "stored", { live: false });
    expect(await (await asked).json()).toMatchObject({ reply: "stored", usage: { inputTokens: 1 } });
  });

  test("done lost after the turn was heard is found too", async () => {
    const held = holdMessages();
    const asked = gateway.ask(messages("ann"), { body: { text: "one" } });
    const message = await firstHeld(held);
    const turn = gateway.conversations.open(message);
    gateway.conversations.close(message, turn, "done was lost", { attempt: 1, number: 1 }, { live: false });
    expect(await (await asked).json()).toMatchObject({ reply: "done was lost" });
  });

  test("a caller who leaves does not stop the turn and leaves no subscription behind", async () => {
    const held = holdMessages();
    const leaving = new AbortController();
    const asked = gateway
      .ask(messages("ann"), { body: { text: "one" }, signal: leaving.signal })
      .catch(() => "left");
    const message = await firstHeld(held);
    leaving.abort();
    expect(await asked).toBe("left");
    gateway.conversations.answer(message, "nobody hears this");
    expect(gateway.conversations.stops).toEqual([]);
    await waitUntil(() => gateway.conversations.followers === 0, { what: "the end of the subscription" });
  });

  test("a store that is not available is 503 with Retry-After, and the place is given back", async () => {
    gateway.conversations.failure = new JetclawError("nats.unavailable", "nats://user:secret@host");
    const response = await gateway.ask(messages("ann"), { body: { text: "hi" } });
    expect(response.status).toBe(503);
    expect(response.headers.get("retry-after")).toBe("1");
    expect(await response.text()).not.toContain("secret");
    expect(gateway.conversations.followers).toBe(0);
  });
});

describe("streamed answer", () => {
  test("turn, deltas with ids, done with the answer", async () => {
    const response = await gateway.ask(messages("ann"), { body: { text: "a b" }, headers: stream });
    expect(response.headers.get("content-type")).toMatch(/^text\/event-stream/);
    const read = await readEvents(response, untilDone);
    expect(read.map((e) => [e.event, e.id])).toEqual([
      ["turn", "1.0.0"],
      ["delta", "1.1.1"],
      ["delta", "1.1.2"],
      ["delta", "1.1.3"],
      ["delta", "1.1.4"],
      ["done", "1.1.5"],
    ]);
    expect(read[0]?.data).toMatchObject({
      turn: 1,
      attempt: 0,
      number: 0,
      messages: [gateway.conversations.sent[0]?.id],
    });
    expect(textOfEvents(read)).toBe("You said: a b");
    expect(read.at(-1)?.data).toMatchObject({
      session: "ann",
      turn: 1,
      attempt: 1,
      number: 5,
      text: "You said: a b",
      reply: "You said: a b",
      citations: [],
      cached: false,
    });
  });

  test("deltas that overtake the turn event are not lost", async () => {
    gateway.conversations.onMessage = (message) => {
      gateway.conversations.delta(message, 1, 1, 1, "early ");
      const turn = gateway.conversations.open(message);
      gateway.conversations.delta(message, turn, 1, 2, "late");
      gateway.conversations.close(message, turn, "early late", { attempt: 1, number: 3 });
    };
    const read = await readEvents(
      await gateway.ask(messages("ann"), { body: { text: "x" }, headers: stream }),
      untilDone,
    );
    expect(textOfEvents(read)).toBe("early late");
  });

  test("a lost delta is read from the store, in order", async () => {
    gateway.conversations.onMessage = (message) => {
      const turn = gateway.conversations.open(message);
      gateway.conversations.delta(message, turn, 1, 1, "one ");
      gateway.conversations.delta(message, turn, 1, 2, "two ", { live: false });
      gateway.conversations.delta(message, turn, 1, 3, "three");
      gateway.conversations.close(message, turn, "one two three", { attempt: 1, number: 4 });
    };
    const read = await readEvents(
      await gateway.ask(messages("ann"), { body: { text: "x" }, headers: stream }),
      untilDone,
    );
    expect(textOfEvents(read)).toBe("one two three");
  });

  test("the highest attempt wins: a restart, and nothing of the dead worker after it", async () => {
    gateway.conversations.onMessage = (message) => {
      const turn = gateway.conversations.open(message);
      gateway.conversations.delta(message, turn, 1, 1, "wrong ");
      // The restart frame itself is lost; the first delta of attempt 2 stands for it.
      gateway.conversations.delta(message, turn, 2, 1, "right ");
      gateway.conversations.delta(message, turn, 1, 2, "zombie ");
      gateway.conversations.delta(message, turn, 2, 2, "answer");
      gateway.conversations.close(message, turn, "right answer", { attempt: 2, number: 3 });
    };
    const read = await readEvents(
      await gateway.ask(messages("ann"), { body: { text: "x" }, headers: stream }),
      untilDone,
    );
    expect(read.map((e) => [e.event, e.id])).toEqual([
      ["turn", "1.0.0"],
      ["delta", "1.1.1"],
      ["restart", "1.2.0"],
      ["delta", "1.2.1"],
      ["delta", "1.2.2"],
      ["done", "1.2.3"],
    ]);
    expect(textOfEvents(read)).not.toContain("zombie");
  });

  test("a wait that ends is an error event that is a problem", async () => {
    holdMessages();
    const response = await gateway.ask(messages("ann"), {
      body: { text: "x" },
      headers: { ...stream, prefer: "wait=0" },
    });
    const [error] = await readEvents(response, untilDone);
    expect(error).toMatchObject({
      event: "error",
      data: { code: "turn.timeout", status: 504, session: "ann" },
    });
  });

  test("a refused message is a problem with its status, not a stream", async () => {
    const response = await gateway.ask(messages("ann"), { body: { text: "" }, headers: stream });
    expect(response.status).toBe(400);
    expect(response.headers.get("content-type")).toMatch(/^application\/problem\+json/);
  });
});

describe("transcript, stop, feedback, erase", () => {
  test("the transcript in its documented shape, a running turn with reply null", async () => {
    await gateway.ask(messages("ann"), { body: { text: "one", id: "m1" } });
    const held = holdMessages();
    await gateway.ask(messages("ann"), {
      body: { text: "two", id: "m2" },
      headers: { prefer: "respond-async" },
    });
    gateway.conversations.open(await firstHeld(held));
    expect(await (await gateway.ask("/v1/conversations/ann")).json()).toMatchObject({
      session: "ann",
      status: "answering",
      turns: [
        { turn: 1, messages: [{ id: "m1", text: "one" }], reply: "You said: one", citations: [] },
        { turn: 2, messages: [{ id: "m2", text: "two" }], reply: null },
      ],
    });
  });

  test("stop, feedback and erase", async () => {
    await gateway.ask(messages("ann"), { body: { text: "one" } });
    expect((await gateway.ask("/v1/conversations/ann/stop", { method: "POST" })).status).toBe(202);
    expect(gateway.conversations.stops).toEqual(["demo ann"]);
    const rated = await gateway.ask("/v1/conversations/ann/turns/1/feedback", {
      body: { value: "up", comment: "thanks" },
    });
    expect(rated.status).toBe(204);
    expect(gateway.conversations.feedbacks).toEqual([{ ...DEMO, turn: 1, value: "up", comment: "thanks" }]);
    expect((await gateway.ask("/v1/conversations/ann", { method: "DELETE" })).status).toBe(204);
    expect((await gateway.ask("/v1/conversations/ann", { method: "DELETE" })).status).toBe(404);
    expect((await gateway.ask("/v1/conversations/ann")).status).toBe(404);
  });
});

describe("admission", () => {
  test("64 unanswered messages a session, then 429 with Retry-After; an answer or an erase makes room", async () => {
    const held = holdMessages();
    const async_ = { prefer: "respond-async" };
    for (let n = 0; n < 64; n++)
      expect(
        (await gateway.ask(messages("ann"), { body: { text: "x", id: `m${n}` }, headers: async_ })).status,
      ).toBe(202);
    const refused = await gateway.ask(messages("ann"), { body: { text: "x" }, headers: async_ });
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(await refused.json()).toMatchObject({ code: "mailbox.full", retry: "later" });
    // Another session, and a repeat of one that counts already, are not concerned.
    expect((await gateway.ask(messages("bob"), { body: { text: "x" }, headers: async_ })).status).toBe(202);
    expect(
      (await gateway.ask(messages("ann"), { body: { text: "x", id: "m3" }, headers: async_ })).status,
    ).toBe(202);
    gateway.conversations.answer(held[0] as IncomingMessage, "one less");
    expect((await gateway.ask(messages("ann"), { body: { text: "x" }, headers: async_ })).status).toBe(202);
    await gateway.conversations.erase("demo", "ann");
    for (let n = 0; n < 64; n++)
      expect((await gateway.ask(messages("ann"), { body: { text: "x" }, headers: async_ })).status).toBe(202);
    expect((await gateway.ask(messages("ann"), { body: { text: "x" }, headers: async_ })).status).toBe(429);
  });

  test("a message that is sent again while its turn runs makes room with its answer like any other", async () => {
    const small = await startTestGateway({ keys: store.keys, settings: { unansweredMessages: 1 } });
    const { conversations } = small;
    conversations.onMessage = () => {};
    const send = async (id: string): Promise<number> => {
      const body = { text: "x", id };
      const headers = { prefer: "respond-async" };
      return (await small.ask(messages("ann"), { body, headers })).status;
    };
    try {
      expect(await send("m1")).toBe(202);
      const turn = conversations.open(conversations.sent[0] as IncomingMessage);
      expect(await send("m1")).toBe(202);
      conversations.close(conversations.sent[0] as IncomingMessage, turn, "there", { attempt: 1, number: 1 });
      expect(await send("m2")).toBe(202);
    } finally {
      await small.stop();
    }
  });

  test("requests above a key's rate are 429 with Retry-After", async () => {
    const slow = await startTestGateway({ keys: store.keys, settings: { requestsPerSecond: 3 } });
    try {
      const from = performance.now();
      const responses = await Promise.all(
        Array.from({ length: 60 }, () => slow.ask("/v1/conversations/none")),
      );
      const seconds = Math.ceil((performance.now() - from) / 1_000);
      const refused = responses.filter(({ status }) => status === 429);
      expect(refused.length).toBeGreaterThanOrEqual(Math.max(1, 60 - 3 * (seconds + 1)));
      expect(refused.length).toBeLessThanOrEqual(57);
      for (const { headers } of refused) expect(Number(headers.get("retry-after"))).toBeGreaterThan(0);
    } finally {
      await slow.stop();
    }
  });
});
