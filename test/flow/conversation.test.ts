// A conversation from the first message to the erase, on a real server with a real worker and the echo model.

import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { encode } from "#contracts/codec.ts";
import type { JobResult } from "#contracts/job.ts";
import { tokensSubject } from "#contracts/subjects.ts";
import type { StreamEvent } from "#contracts/turn.ts";
import { NO_USAGE } from "#contracts/usage.ts";
import type { RunningRole } from "#ops/compose/context.ts";
import { ensureTokens } from "#runtime/nats/topology.ts";
import { createLog } from "#runtime/observe/log.ts";
import { ConversationWorld } from "#test/harness/conversation-world.ts";
import { PATIENCE_MS, waitUntil } from "#test/harness/wait.ts";

const LATE_RESULT: JobResult = {
  job: "of-old",
  turn: 1,
  step: 0,
  attempt: 1,
  finish: "stop",
  text: "too late",
  citations: [],
  model: "echo",
  chunks: 1,
  usage: NO_USAGE,
  timings: { queuedMs: 0, firstTokenMs: 0, totalMs: 0 },
  worker: "w",
};
const PATIENCE = { timeout: PATIENCE_MS };
const NOTHING = { turns: 0, tokens: 0, jobs: 0, timers: 0, dead: 0 };
/** What is acknowledged goes a moment after the answer that others see. */
const tracesOf = (world: ConversationWorld, session: string) =>
  expect.poll(() => world.traces(session), PATIENCE);
const types = (events: readonly StreamEvent[]): string[] => events.map((event) => event.type);
const has = (events: readonly StreamEvent[], type: StreamEvent["type"], turn = 1): boolean =>
  events.some((event) => event.type === type && event.turn === turn);

describe.each([2, 4])("a conversation, %i shards", (shards) => {
  let world: ConversationWorld;
  const workers: RunningRole[] = [];
  const work = async (echo = {}): Promise<RunningRole> => {
    const worker = await world.worker({ chunks: 4, replyBytes: 200, ...echo });
    workers.push(worker);
    return worker;
  };
  beforeAll(async () => {
    world = await ConversationWorld.start(shards);
    await world.host();
  });
  afterEach(async () => {
    for (const worker of workers.splice(0)) await world.end(worker);
  });
  afterAll(() => world?.stop());

  test("a question gets one turn: its event, its text in pieces, its end, and its place in the transcript", async () => {
    await work();
    const events = await world.follow("first");
    await world.send("first", "m1", "How long is delivery?");
    const [turn] = await world.closed("first", 1);
    expect(turn).toMatchObject({ turn: 1, outcome: "answered", model: "echo", cached: false });
    expect(turn?.messages).toMatchObject([{ id: "m1", text: "How long is delivery?" }]);
    expect(turn?.reply).toContain("How long is delivery?");
    await waitUntil(() => has(events, "done"), { what: "the end" });
    expect(types(events)).toEqual(["turn", ...events.slice(1, -1).map(() => "delta"), "done"]);
    expect(events[0]?.messages).toEqual(["m1"]);
    const streamed = events.map((event) => (event.type === "delta" ? event.text : "")).join("");
    expect([streamed, events.at(-1)?.text, events.at(-1)?.answer?.reply]).toEqual([
      turn?.reply,
      turn?.reply,
      turn?.reply,
    ]);
    await tracesOf(world, "first").toMatchObject({ turns: 1, jobs: 0, timers: 0 });
  });

  test("a message that comes again gets the turn it has, and no second one", async () => {
    await work();
    await world.send("again", "m1", "Hello?");
    await world.closed("again", 1);
    const events = await world.follow("again");
    await world.send("again", "m1", "Hello?");
    await waitUntil(() => has(events, "done"), { what: "the repeated answer" });
    expect(events.at(-1)).toMatchObject({ turn: 1, answer: { turn: 1, outcome: "answered" } });
    await world.send("again", "m2", "And now?");
    const turns = await world.closed("again", 2);
    expect(turns.map((turn) => turn.messages.map((m) => m.id))).toEqual([["m1"], ["m2"]]);
  });

  test("what is said while a turn runs waits, stands last in the transcript, and becomes one next turn", async () => {
    await world.send("busy", "m1", "First?");
    await waitUntil(async () => (await world.status("busy")) === "answering", { what: "the job" });
    for (const id of ["m2", "m3"]) await world.send("busy", id, `More ${id}`);
    const running = await world.client.transcript("demo", "busy");
    expect(running?.turns).toMatchObject([{ turn: 1, reply: null, model: null, messages: [{ id: "m1" }] }]);
    await work();
    const turns = await world.closed("busy", 2);
    expect(turns.map((turn) => [turn.turn, turn.messages.map((m) => m.id)])).toEqual([
      [1, ["m1"]],
      [2, ["m2", "m3"]],
    ]);
  });

  test("messages of one WhatsApp burst are one turn", async () => {
    await work();
    // On their way together: nothing keeps one of them longer than the quiet time.
    const said = ["Hi", "I have", "a question"];
    await Promise.all(said.map((text, n) => world.send("burst", `m${n}`, text, "whatsapp")));
    const turns = await world.closed("burst", 1);
    const [first] = turns[0]?.messages ?? [];
    expect((turns[0]?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThanOrEqual(500);
    expect(turns.map((turn) => turn.messages.map((m) => m.text))).toEqual([["Hi", "I have", "a question"]]);
    await tracesOf(world, "burst").toMatchObject({ timers: 0 });
  });

  test("a WhatsApp message during a turn that ends inside its quiet time is answered all the same", async () => {
    await world.send("pause", "m1", "First", "web");
    await waitUntil(async () => (await world.status("pause")) === "answering", { what: "the job" });
    await world.send("pause", "m2", "Second", "whatsapp");
    await work();
    const turns = await world.closed("pause", 2);
    expect(turns.map((turn) => turn.messages.map((m) => m.id))).toEqual([["m1"], ["m2"]]);
  });

  test("the bot may speak first", async () => {
    const events = await world.follow("said");
    await world.tell("said", "say", { text: "Your parcel is here." });
    const turns = await world.closed("said", 1);
    expect(turns).toMatchObject([{ turn: 1, reply: "Your parcel is here.", outcome: "said", messages: [] }]);
    expect(events).toMatchObject([{ type: "done", turn: 1, text: "Your parcel is here." }]);
  });

  test("thumbs are shown at their turn, the last ones count, and there are none for a turn that never was", async () => {
    await world.tell("thumbs", "say", { text: "Hello." });
    await world.closed("thumbs", 1);
    await world.client.feedback("demo", "thumbs", 1, "down", "too short");
    await world.client.feedback("demo", "thumbs", 1, "up");
    expect((await world.closed("thumbs", 1))[0]?.feedback).toBe("up");
    await expect(world.client.feedback("demo", "thumbs", 2, "up")).rejects.toMatchObject({
      code: "session.not-found",
    });
    await expect(world.client.feedback("demo", "nobody", 1, "up")).rejects.toMatchObject({
      code: "session.not-found",
    });
  });

  describe("a stop", () => {
    test("of a queued job takes it away and closes the turn within the grace", async () => {
      await world.send("queued", "m1", "Long?");
      await waitUntil(async () => (await world.traces("queued")).jobs === 1, { what: "the job" });
      await world.client.stop("demo", "queued");
      await world.client.stop("demo", "queued");
      const turns = await world.closed("queued", 1);
      expect(turns).toMatchObject([{ outcome: "stopped", reply: "Stopped." }]);
      await tracesOf(world, "queued").toMatchObject({ turns: 1, jobs: 0, timers: 0 });
    });

    test("of a running answer ends it, and the conversation goes on", async () => {
      const slow = await work({ delayMs: 60_000 });
      await world.send("running", "m1", "Long?");
      await waitUntil(async () => (await world.traces("running")).jobs === 1, { what: "the job" });
      await waitUntil(() => slow.readiness() === undefined, { what: "the worker" });
      await world.client.stop("demo", "running");
      expect(await world.closed("running", 1)).toMatchObject([{ outcome: "stopped" }]);
      await world.end(slow);
      await work();
      await world.send("running", "m2", "Short?");
      const turns = await world.closed("running", 2);
      expect(turns.map((turn) => turn.outcome)).toEqual(["stopped", "answered"]);
    });

    test("of nothing changes nothing", async () => {
      await world.client.stop("demo", "quiet");
      await world.tell("quiet", "say", { text: "Still here." });
      expect(await world.closed("quiet", 1)).toHaveLength(1);
    });
  });

  test("a late result that cannot be read does not end the turn that waits for another", async () => {
    await world.send("unread", "m1", "Anyone?");
    const trace = (what: "jobs" | "dead") =>
      waitUntil(async () => (await world.traces("unread"))[what] === 1, { what });
    await trace("jobs");
    await world.tell("unread", "result", { job: "of-old" });
    await trace("dead");
    await work();
    expect(await world.closed("unread", 1)).toMatchObject([{ turn: 1, outcome: "answered" }]);
  });

  describe("an erase", () => {
    test("leaves nothing of a session in any stream, and its worker's late result makes nothing again", async () => {
      const quick = await work();
      await world.send("erased", "m1", "First?");
      await world.closed("erased", 1);
      await world.end(quick);
      const worker = await work({ delayMs: 4_000, chunks: 20 });
      await world.client.feedback("demo", "erased", 1, "up");
      await world.tell("erased", "say", { text: 1, meant: "a text that nobody can say" });
      await waitUntil(async () => (await world.traces("erased")).dead === 1, { what: "the dead letter" });
      await world.send("erased", "m2", "Second?");
      await waitUntil(async () => (await world.traces("erased")).jobs === 1, { what: "the second job" });
      expect(await world.client.erase("demo", "erased")).toMatchObject({ session: "erased", turns: 2 });
      expect(await world.client.transcript("demo", "erased")).toBeUndefined();
      await worker.drain();
      await tracesOf(world, "erased").toEqual(NOTHING);
      expect(await world.client.transcript("demo", "erased")).toBeUndefined();
      expect(await world.client.replay("demo", "erased")).toEqual([]);
    });

    test("is done again for what a worker streamed on until its late result", async () => {
      await world.tell("streamed", "say", { text: "Hello." });
      await world.closed("streamed", 1);
      await world.client.erase("demo", "streamed");
      world.bus.publish(
        tokensSubject("demo", "streamed", 1),
        encode({ type: "delta", turn: 1, attempt: 1, number: 1, text: "x" }),
      );
      await waitUntil(async () => (await world.traces("streamed")).tokens === 1, { what: "the late chunk" });
      await world.tell("streamed", "result", LATE_RESULT);
      await waitUntil(async () => (await world.traces("streamed")).tokens === 0, {
        what: "it to be removed",
      });
      expect(await world.client.transcript("demo", "streamed")).toBeUndefined();
      await tracesOf(world, "streamed").toEqual(NOTHING);
    });

    test("of a collecting burst takes its timer along; of nobody says so", async () => {
      const seq = await world.send("collecting", "m1", "Hi", "email");
      await waitUntil(async () => (await world.traces("collecting")).timers === 1, { what: "the timer" });
      expect(await world.client.erase("demo", "collecting")).toMatchObject({ turns: 0 });
      await tracesOf(world, "collecting").toEqual(NOTHING);
      // Whoever waits for its answer hears of it, and whoever says the same anew is waited for.
      await expect(world.client.turnOf("demo", "collecting", "m1", seq)).rejects.toMatchObject({
        code: "session.not-found",
      });
      expect(await world.client.turnOf("demo", "collecting", "m1", seq + 1_000)).toBeUndefined();
      const { erasedSeq } = await world.client.extent("demo", "collecting");
      expect([erasedSeq >= seq, erasedSeq < seq + 1_000]).toEqual([true, true]);
      expect(await world.client.erase("demo", "never-was")).toBeUndefined();
    });

    test("is followed by a new conversation with new turn numbers", async () => {
      await work();
      await world.send("reborn", "m1", "Old secret");
      await world.closed("reborn", 1);
      await world.client.erase("demo", "reborn");
      await world.send("reborn", "m2", "New question");
      const turns = await world.closed("reborn", 1);
      expect(turns.map((turn) => [turn.turn, turn.messages.map((m) => m.id)])).toEqual([[2, ["m2"]]]);
      expect(await world.client.extent("demo", "reborn")).toMatchObject({ turn: 2, erasedTurn: 1 });
      expect(JSON.stringify(turns)).not.toContain("secret");
    });
  });

  test("a reader that comes back gets what it has not seen, from any event on", async () => {
    await work();
    const events = await world.follow("resumed");
    await world.send("resumed", "m1", "One?");
    await world.closed("resumed", 1);
    await world.send("resumed", "m2", "Two?");
    await world.closed("resumed", 2);
    await waitUntil(() => has(events, "done", 2), { what: "both turns" });
    expect(await world.client.replay("demo", "resumed")).toEqual(events);
    for (const [n, event] of events.entries())
      expect(await world.client.replay("demo", "resumed", event)).toEqual(events.slice(n + 1));
  });
});

describe("without a worker", () => {
  test("a turn past its deadline ends in an apology with a reference, and the next one is answered", async () => {
    const said: unknown[] = [];
    const quiet = createLog({ level: "silent" });
    const log = Object.assign(Object.create(quiet), { warn: (fields: unknown) => void said.push(fields) });
    const world = await ConversationWorld.start(2, log);
    try {
      const hasty = await world.host({ turnDeadlineMs: 500 });
      const events = await world.follow("waiting");
      await world.send("waiting", "m1", "Anybody?");
      const turns = await world.closed("waiting", 1);
      expect(turns).toMatchObject([
        { outcome: "failed", reply: expect.stringMatching(/^Sorry.*\(Reference [0-9a-z]{6,7}\)$/) },
      ]);
      expect(events.at(-1)?.answer).toMatchObject({
        outcome: "failed",
        reference: expect.stringMatching(/^[0-9a-z]{6,7}$/),
      });
      // What a user reads out is found by whoever reads the logs.
      const reference = events.at(-1)?.answer?.reference;
      await expect
        .poll(() => said, PATIENCE)
        .toContainEqual(expect.objectContaining({ reference, turn: 1, code: "turn.deadline" }));
      await tracesOf(world, "waiting").toMatchObject({ jobs: 0 });
      await world.end(hasty);
      await world.host();
      await world.worker();
      await world.send("waiting", "m2", "Now?");
      expect((await world.closed("waiting", 2))[1]).toMatchObject({ outcome: "answered" });
    } finally {
      await world.stop();
    }
  });
});

describe("what waited while no host lived and is handled in one burst", () => {
  test("a stop is for the question before it, an erase for all before it, and what follows is answered", async () => {
    const world = await ConversationWorld.start(2);
    try {
      await world.send("hasty", "m1", "Never mind?");
      await world.client.stop("demo", "hasty");
      await world.send("hasty", "m2", "This one?");
      await world.send("forgetful", "m1", "A secret?");
      await world.tell("forgetful", "erase", {});
      await world.send("forgetful", "m2", "A question?");
      await world.host();
      await waitUntil(async () => (await world.status("hasty")) === "answering", { what: "the host" });
      await world.worker();
      const hasty = await world.closed("hasty", 2);
      expect(hasty.map((turn) => [turn.messages.map((m) => m.id), turn.outcome])).toEqual([
        [["m1"], "stopped"],
        [["m2"], "answered"],
      ]);
      const forgetful = await world.closed("forgetful", 1);
      expect(forgetful.map((turn) => turn.messages.map((m) => m.id))).toEqual([["m2"]]);
    } finally {
      await world.stop();
    }
  });
});

describe("when the server restarts and the stream in memory is gone", () => {
  test("a replay gives one end for each closed turn, and later turns are streamed and kept again", async () => {
    const world = await ConversationWorld.start(2);
    try {
      await world.host();
      await world.worker({ chunks: 3, replyBytes: 90 });
      await world.send("lasting", "m1", "Before?");
      const [before] = await world.closed("lasting", 1);
      await world.nats.kill();
      await world.nats.restart();
      await waitUntil(
        async () => (await world.bus.jsm.streams.info("TOKENS").catch(() => undefined)) !== undefined,
        { what: "TOKENS to be made again" },
      );
      expect(await world.client.replay("demo", "lasting")).toMatchObject([
        { type: "turn", turn: 1, messages: ["m1"] },
        { type: "done", turn: 1, text: before?.reply },
      ]);
      await world.send("lasting", "m2", "After?");
      await world.closed("lasting", 2);
      const after = await waitUntil(
        async () => {
          const events = await world.client.replay("demo", "lasting", {
            turn: 1,
            attempt: 999_999,
            number: 1,
          });
          return has(events, "done", 2) && events;
        },
        { what: "the second turn in the stream" },
      );
      // Chunks that come within one coalescing time are one event.
      expect(types(after).join(" ")).toMatch(/^turn( delta)+ done$/);
    } finally {
      await world.stop();
    }
  });

  test("a replay without the stream still tells what was answered", async () => {
    const world = await ConversationWorld.start(2);
    try {
      await world.host();
      await world.tell("bare", "say", { text: "Hello." });
      await world.closed("bare", 1);
      await world.bus.jsm.streams.delete("TOKENS");
      expect(types(await world.client.replay("demo", "bare"))).toEqual(["turn", "done"]);
      await ensureTokens(world.bus);
      await world.tell("bare", "say", { text: "Again." });
      await world.closed("bare", 2);
      expect(types(await world.client.replay("demo", "bare"))).toEqual(["turn", "done", "done"]);
    } finally {
      await world.stop();
    }
  });
});
