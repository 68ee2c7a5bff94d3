import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Answer, StreamEvent, Transcript, TranscriptTurn } from "#contracts/turn.ts";
import { NO_USAGE } from "#contracts/usage.ts";
import { type Action, reduce } from "#ops/ui/session.ts";
import { emptyView, isAwaited, runningTurn, type SessionView } from "#ops/ui/view.ts";
import { parseEvent } from "#ops/ui/wire.ts";

const SESSION = "web-1";
const ASKED = { id: "m-1", text: "How long does delivery take?", at: 1 };

function answer(reply: string, rest: Partial<Answer> = {}): Answer {
  return {
    ...{ session: SESSION, turn: 1, reply, citations: [], model: "m", cached: false },
    ...{ usage: NO_USAGE, outcome: "answered" as const },
    ...rest,
  };
}

const delta = (attempt: number, number: number, text: string): StreamEvent => ({
  type: "delta",
  turn: 1,
  attempt,
  number,
  text,
});
const restart = (attempt: number): StreamEvent => ({
  type: "restart",
  turn: 1,
  attempt,
  number: 0,
  text: "",
});
const done = (attempt: number, number: number, reply: string): StreamEvent => ({
  ...{ type: "done", turn: 1, attempt, number, text: reply },
  answer: answer(reply),
});
const begun: StreamEvent = { type: "turn", turn: 1, attempt: 0, number: 0, messages: [ASKED.id] };

function record(turn: number, reply: string | null, rest: Partial<TranscriptTurn> = {}): TranscriptTurn {
  return {
    turn,
    messages: [ASKED],
    reply,
    citations: [],
    model: reply === null ? null : "m",
    cached: false,
    at: 2,
    ...rest,
  };
}
const transcript = (...turns: TranscriptTurn[]): Action => {
  const status: Transcript["status"] = turns.some(({ reply }) => reply === null) ? "answering" : "idle";
  return { type: "transcript", transcript: { session: SESSION, status, turns } };
};

const run = (actions: readonly Action[], from: SessionView = emptyView(SESSION)): SessionView =>
  actions.reduce(reduce, from);
const events = (...list: StreamEvent[]): Action[] => list.map((event) => ({ type: "event", event }));
const asked: Action[] = [
  { type: "written", message: ASKED },
  { type: "delivery", id: ASKED.id, delivery: { state: "accepted" } },
];
const textOf = (view: SessionView): string | undefined => view.turns[0]?.text;

describe("an answer as it streams", () => {
  test("a message moves from the queue into its turn, and its answer grows, then ends", () => {
    const waiting = run(asked);
    expect(isAwaited(waiting)).toBe(true);
    const growing = run(events(begun, delta(1, 1, "One "), delta(1, 2, "day")), waiting);
    expect(growing.pending).toEqual([]);
    expect(growing.turns[0]).toMatchObject({ messages: [ASKED], text: "One day", closed: false });
    const ended = run(events(done(1, 3, "One day.")), growing);
    expect(ended.turns[0]).toMatchObject({ text: "One day.", closed: true, restarted: false });
    expect(runningTurn(ended)).toBeUndefined();
  });

  test("a restart takes back what was shown and says so", () => {
    const view = run(events(begun, delta(1, 1, "Wrong"), restart(2)), run(asked));
    expect(view.turns[0]).toMatchObject({ text: "", restarted: true, attempt: 2 });
  });

  test("a first attempt that showed nothing is not called a restart", () => {
    const view = run(events(begun, restart(2), delta(2, 1, "One")), run(asked));
    expect(view.turns[0]).toMatchObject({ text: "One", restarted: false });
  });

  test("a lost chunk leaves a visible gap, never words silently joined", () => {
    expect(textOf(run(events(delta(1, 1, "is"), delta(1, 3, "possible"))))).toBe("is … possible");
    expect(textOf(run(events(delta(1, 4, "the end"))))).toBe(" … the end");
  });

  test("the end of a superseded attempt is not shown, and the transcript is asked instead", () => {
    const view = run(events(begun, delta(2, 1, "New"), done(1, 9, "Old")), run(asked));
    expect(view.turns[0]).toMatchObject({ text: "New", closed: false });
    expect(view.stale).toBe(true);
  });

  test("an end without any attempt (cache, deadline, stop) closes the turn whatever was shown", () => {
    const view = run(events(begun, delta(1, 1, "Half"), done(0, 1, "Sorry.")), run(asked));
    expect(view.turns[0]).toMatchObject({ text: "Sorry.", closed: true });
  });

  test("a turn with messages of another tab asks for the transcript", () => {
    expect(run(events(begun)).stale).toBe(true);
    expect(run(events(begun), run(asked)).stale).toBe(false);
  });
});

describe("any order, any repetition", () => {
  const words = fc.array(fc.string({ minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 8 });

  /** Each attempt in its own order, the two interleaved, some events repeated at any later place. */
  const streams = fc
    .record({ first: words, second: words, picks: fc.infiniteStream(fc.nat()) })
    .map(({ first, second, picks }) => {
      const reply = second.join("");
      const one = [begun, ...first.map((text, at) => delta(1, at + 1, text))];
      const two = [
        restart(2),
        ...second.map((text, at) => delta(2, at + 1, text)),
        done(2, second.length + 1, reply),
      ];
      const mixed: StreamEvent[] = [];
      const pick = (): number => picks.next().value;
      while (one.length + two.length > 0) {
        const queue = one.length === 0 || (two.length > 0 && pick() % 2 === 0) ? two : one;
        const event = queue.shift();
        if (event) mixed.push(event);
        const again = mixed[pick() % mixed.length];
        if (again && pick() % 3 === 0) mixed.push(again);
      }
      return { mixed, first, reply };
    });

  test("interleaved and repeated events of two attempts end with the text of done", () => {
    fc.assert(
      fc.property(streams, ({ mixed, reply }) => {
        const view = run(events(...mixed), run(asked));
        expect(view.turns).toHaveLength(1);
        expect(view.turns[0]).toMatchObject({ text: reply, closed: true, attempt: 2 });
      }),
    );
  });

  test("after a higher attempt nothing of a lower one is shown", () => {
    fc.assert(
      fc.property(streams, ({ mixed, reply }) => {
        let view = run(asked);
        let highest = 0;
        for (const event of mixed) {
          view = reduce(view, { type: "event", event });
          highest = Math.max(highest, event.attempt);
          expect(view.turns[0]?.attempt ?? 0).toBeGreaterThanOrEqual(highest);
          if (highest === 2) expect(reply.startsWith(view.turns[0]?.text ?? "")).toBe(true);
        }
      }),
    );
  });

  test("shuffled events still end with the text of done", () => {
    const shuffled = streams.chain(({ mixed, reply }) =>
      fc.shuffledSubarray(mixed, { minLength: mixed.length }).map((order) => ({ order, reply })),
    );
    fc.assert(
      fc.property(shuffled, ({ order, reply }) => {
        expect(textOf(run(events(...order), run(asked)))).toBe(reply);
      }),
    );
  });

  test("a transcript at any moment neither reopens a closed turn nor loses what streams", () => {
    fc.assert(
      fc.property(streams, fc.nat(), ({ mixed, reply }, at) => {
        const cut = at % (mixed.length + 1);
        const before = run(events(...mixed.slice(0, cut)), run(asked));
        const read = run([transcript(record(1, null))], before);
        expect(textOf(read) ?? "").toBe(textOf(before) ?? "");
        expect(read.turns[0]?.closed).toBe(before.turns[0]?.closed ?? false);
        expect(textOf(run(events(...mixed.slice(cut)), read))).toBe(reply);
      }),
    );
  });
});

describe("the transcript", () => {
  test("is the truth for what is closed: late events change nothing", () => {
    const view = run([
      transcript(record(1, "Final.")),
      ...events(delta(3, 1, "x"), restart(4), done(5, 1, "Other.")),
    ]);
    expect(view.turns[0]).toMatchObject({ text: "Final.", closed: true });
  });

  test("takes away queued messages that a turn has, and leaves the others", () => {
    const other = { id: "m-2", text: "And to Germany?", at: 2 };
    const view = run([{ type: "written", message: other }, transcript(record(1, "Final."))], run(asked));
    expect(view.pending.map(({ id }) => id)).toEqual(["m-2"]);
  });

  test("a turn that began after it was read stays", () => {
    const second: StreamEvent = { type: "turn", turn: 2, attempt: 0, number: 0, messages: ["m-2"] };
    const view = run([
      { type: "written", message: { id: "m-2", text: "And?", at: 3 } },
      ...events(second),
      transcript(record(1, "Final.")),
    ]);
    expect(view.turns.map(({ turn }) => turn)).toEqual([1, 2]);
    expect(view.turns[1]?.messages[0]?.text).toBe("And?");
  });

  test("that is gone leaves no turn that runs, and of a message that may never be answered what was written", () => {
    const next = { id: "m-2", text: "Next", at: 2 };
    const view = run([
      ...asked,
      ...events(begun, delta(1, 1, "One")),
      { type: "written", message: next },
      { type: "delivery", id: "m-2", delivery: { state: "accepted" } },
    ]);
    const gone = run([{ type: "erased", upTo: 1 }], view);
    expect([runningTurn(view)?.turn, runningTurn(gone), isAwaited(gone)]).toEqual([1, undefined, false]);
    expect(gone).toMatchObject({
      status: "idle",
      turns: [],
      pending: [{ ...next, delivery: { state: "failed" } }],
    });
  });

  test("an unchanged closed turn keeps its identity, so that it is not rendered again", () => {
    const once = run([transcript(record(1, "Final."))]);
    const twice = run([transcript(record(1, "Final."), record(2, null))], once);
    expect(twice.turns[0]).toBe(once.turns[0]);
  });

  test("a thumb given a moment ago survives a record that does not have it yet", () => {
    const view = run([
      transcript(record(1, "Final.")),
      { type: "rated", turn: 1, value: "up" },
      transcript(record(1, "Final.")),
    ]);
    expect(view.turns[0]?.feedback).toBe("up");
  });
});

describe("the wire", () => {
  const fields = { turn: 1, attempt: 1, number: 4, text: "Done." };
  const rest = answer("Done.");

  test("an answer is read from beside the event's fields and from under its own", () => {
    expect(parseEvent("done", JSON.stringify({ ...fields, ...rest }))?.answer?.reply).toBe("Done.");
    expect(parseEvent("done", JSON.stringify({ ...fields, answer: rest }))?.answer?.reply).toBe("Done.");
  });

  test("what it does not know is skipped", () => {
    expect(parseEvent("sparkle", JSON.stringify(fields))).toBeUndefined();
    expect(parseEvent("delta", "{")).toBeUndefined();
    expect(parseEvent("error", JSON.stringify({ code: "rate.limited" }))).toBeUndefined();
    expect(parseEvent(undefined, JSON.stringify(fields))).toBeUndefined();
  });
});
