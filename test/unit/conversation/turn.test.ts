// The turn machine driven by random people, workers and operators: whatever order things come in, every message is
// answered in exactly one turn, turns are numbered without a gap, and nothing late changes anything.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  awaitJob,
  boundHistory,
  type ConversationState,
  closeTurn,
  emptyEnding,
  eraseState,
  initialState,
  isAwaited,
  mayOpen,
  openTurn,
  type PastTurn,
  type Quiet,
  sayTurn,
  step,
  type Waiting,
} from "#actors/conversation/turn.ts";
import { LIMITS } from "#contracts/limits.ts";
import type { UserMessage } from "#contracts/turn.ts";

const NONE: Quiet = { quietMs: 0, capMs: 0 };
const SOME: Quiet = { quietMs: 500, capMs: 5_000 };
const text = (t: string, channel = "web"): UserMessage => ({ parts: [{ type: "text", text: t }], channel });
const jobOf = (id: string): Waiting => ({
  id,
  step: 0,
  pool: "p",
  cls: "new",
  deadline: 1,
  route: { pool: "p", tier: "p", reasons: [] },
  locale: "en",
});
const user = (
  state: ConversationState,
  id: string,
  now: number,
  quiet = NONE,
  message = text(`text of ${id}`),
) => step(state, { type: "user", id, at: now, message, quiet }, now);

/** The actor around the machine, in small: it opens when it may, keeps one timer, and gives jobs ids. */
class World {
  state = initialState();
  now = 1_000;
  timerAt: number | undefined;
  readonly sent: string[] = [];
  readonly closed: PastTurn[] = [];
  readonly erased: string[] = [];
  cancels = 0;
  #jobs = 0;
  #ids = 0;

  user(quiet: Quiet): void {
    const id = `m${++this.#ids}`;
    this.sent.push(id);
    this.#take(user(this.state, id, this.now, quiet));
  }
  stop(): void {
    this.#take(step(this.state, { type: "stop" }, this.now));
  }
  result(job: string): void {
    if (!isAwaited(this.state, { job, step: 0 })) return;
    this.close("answered");
    this.#open();
  }
  graceOver(): void {
    if (!this.state.open?.stopping) return;
    this.close("stopped");
    this.#open();
  }
  close(outcome: "answered" | "stopped"): void {
    this.state = closeTurn(this.state, { ...emptyEnding("stopped", "reply"), outcome }, this.now);
    this.closed.push(this.state.history.at(-1) as PastTurn);
  }
  say(): void {
    const said = sayTurn(this.state, "hello", this.now);
    this.state = said.state;
    this.closed.push(this.state.history.at(-1) as PastTurn);
  }
  erase(): void {
    this.erased.push(
      ...this.state.pending.map((m) => m.id),
      ...(this.state.open?.messages ?? []).map((m) => m.id),
    );
    const { open } = this.state;
    this.state = eraseState(this.state, this.now);
    if (open) this.closed.push({ turn: open.turn, messages: [] } as unknown as PastTurn);
  }
  wait(ms: number): void {
    this.now += ms;
    if (this.timerAt === undefined || this.timerAt > this.now) return;
    this.timerAt = undefined;
    this.#take(step(this.state, { type: "collected" }, this.now));
  }
  #take({ state, decisions }: ReturnType<typeof step>): void {
    this.state = state;
    for (const decision of decisions) {
      if (decision.do === "collect") this.timerAt = decision.untilAt;
      else this.cancels++;
    }
    this.#open();
  }
  #open(): void {
    while (mayOpen(this.state, this.now))
      this.state = awaitJob(openTurn(this.state), jobOf(`j${++this.#jobs}`));
  }
  get job(): string | undefined {
    return this.state.open?.job?.id;
  }
  /** Time passes and workers answer until nothing moves. */
  settle(): void {
    for (let n = 0; n < 1_000 && (this.job !== undefined || this.timerAt !== undefined); n++) {
      if (this.job !== undefined) this.result(this.job);
      this.wait(500);
    }
  }
}

const action = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant("user" as const), quiet: fc.constantFrom(NONE, SOME) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant("result" as const), job: fc.integer({ min: 1, max: 30 }) }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("answer" as const) }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.integer({ min: 1, max: 900 }) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("stop" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("settle" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("say" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("erase" as const) }) },
);
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never;

function play(world: World, each: Action): void {
  if (each.do === "user") world.user(each.quiet);
  else if (each.do === "result") world.result(`j${each.job}`);
  else if (each.do === "answer" && world.job) world.result(world.job);
  else if (each.do === "wait") world.wait(each.ms);
  else if (each.do === "stop") world.stop();
  else if (each.do === "settle") world.graceOver();
  else if (each.do === "say") world.say();
  else if (each.do === "erase") world.erase();
}

describe("in any order of events", () => {
  test("every message ends in exactly one turn, in the order it came, and turns are numbered without a gap", () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 80 }), (actions) => {
        const world = new World();
        for (const each of actions) play(world, each);
        world.settle();
        const answered = world.closed.flatMap((turn) => turn.messages.map((m) => m.id));
        const gone = new Set(world.erased);
        expect(answered).toEqual(world.sent.filter((id) => !gone.has(id)));
        expect(world.closed.map((turn) => turn.turn).toSorted((a, b) => a - b)).toEqual(
          world.closed.map((_, n) => n + 1),
        );
        expect(world.state.turn).toBe(world.closed.length);
        expect(world.state.pending).toEqual([]);
        expect(world.state.open).toBeUndefined();
      }),
      { numRuns: 500 },
    );
  });

  test("messages that wait always have something that will open their turn", () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
        const world = new World();
        for (const each of actions) {
          play(world, each);
          const { pending, open } = world.state;
          if (pending.length > 0 && !open) expect(world.timerAt).toBeDefined();
        }
      }),
      { numRuns: 500 },
    );
  });

  test("history stays within its count and bytes", () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat({ max: 9_000 }), { minLength: 1, maxLength: 30 }),
        fc.constantFrom("a", "é", "😀"),
        (sizes, letter) => {
          const history = sizes.map((size, n) => ({ ...past(n + 1), reply: letter.repeat(size) }));
          const kept = boundHistory(history);
          expect(kept).toEqual(history.slice(-kept.length));
          expect(kept.length).toBeLessThanOrEqual(LIMITS.historyTurns);
          const bytes = kept.reduce((sum, turn) => sum + new TextEncoder().encode(turn.reply).length, 0);
          if (kept.length > 1) expect(bytes).toBeLessThanOrEqual(LIMITS.historyBytes);
          expect(kept.at(-1)).toEqual(history.at(-1));
        },
      ),
    );
  });
});

const past = (turn: number): PastTurn => ({
  turn,
  messages: [],
  reply: "",
  citations: [],
  model: "",
  cached: false,
  outcome: "answered",
  at: 0,
});

describe("a burst", () => {
  test("is answered when the quiet time is over and not before", () => {
    let { state, decisions } = user(initialState(), "a", 1_000, SOME);
    expect(decisions).toEqual([{ do: "collect", untilAt: 1_500 }]);
    ({ state, decisions } = user(state, "b", 1_400, SOME));
    expect(decisions).toEqual([{ do: "collect", untilAt: 1_900 }]);
    expect(mayOpen(state, 1_899)).toBe(false);
    expect(mayOpen(state, 1_900)).toBe(true);
    expect(openTurn(state).open.messages.map((m) => m.id)).toEqual(["a", "b"]);
  });

  test("of somebody who never pauses is answered at the cap", () => {
    let state = initialState();
    let now = 1_000;
    for (; now < 20_000 && !mayOpen(state, now); now += 400) state = user(state, `m${now}`, now, SOME).state;
    expect(now).toBeLessThanOrEqual(1_000 + SOME.capMs + 400);
  });

  test("that comes while a turn is answered opens the next one, also when that turn closes inside its quiet time", () => {
    const opened = awaitJob(openTurn(user(initialState(), "a", 1_000).state), jobOf("j"));
    const { state, decisions } = user(opened, "b", 1_100, SOME);
    expect(decisions).toEqual([{ do: "collect", untilAt: 1_600 }]);
    const closed = closeTurn(state, emptyEnding("failed", "x"), 1_200);
    expect(mayOpen(closed, 1_200)).toBe(false);
    expect(mayOpen(step(closed, { type: "collected" }, 1_600).state, 1_600)).toBe(true);
  });

  test("beyond the bound of one turn goes on in the next, and a flood keeps ids instead of texts", () => {
    let state = initialState();
    for (let n = 0; n < LIMITS.burstMessages + 3; n++)
      state = user(state, `m${n}`, 1_000, NONE, text("x".repeat(8_000))).state;
    const opened = openTurn(state);
    expect(opened.open.messages).toHaveLength(LIMITS.burstMessages);
    expect(opened.pending.map((m) => m.id)).toEqual([64, 65, 66].map((n) => `m${n}`));
    const chars = opened.open.messages.reduce((sum, m) => sum + m.text.length, 0);
    expect(chars).toBeLessThanOrEqual(2 * LIMITS.messageTextChars);
  });
});

describe("a job's result", () => {
  const waiting = awaitJob(openTurn(user(initialState(), "a", 1_000).state), jobOf("j1"));

  test("closes its own turn and no other", () => {
    expect(isAwaited(waiting, { job: "j1", step: 0 })).toBe(true);
    expect(isAwaited(waiting, { job: "j2", step: 0 })).toBe(false);
    expect(isAwaited(waiting, { job: "j1", step: 1 })).toBe(false);
  });

  test("that comes twice, or after the erase, belongs to nothing", () => {
    const closed = closeTurn(waiting, emptyEnding("failed", "x"), 2_000);
    expect(isAwaited(closed, { job: "j1", step: 0 })).toBe(false);
    expect(isAwaited(eraseState(waiting, 2_000), { job: "j1", step: 0 })).toBe(false);
    expect(isAwaited(initialState(), { job: "j1", step: 0 })).toBe(false);
  });
});

describe("a stop", () => {
  test("cancels the running job once, however often it is asked for", () => {
    const waiting = awaitJob(openTurn(user(initialState(), "a", 1_000).state), jobOf("j1"));
    const first = step(waiting, { type: "stop" }, 1_100);
    expect(first.decisions).toEqual([{ do: "cancel", job: jobOf("j1"), turn: 1 }]);
    const second = step(first.state, { type: "stop" }, 1_200);
    expect(second).toEqual({ state: first.state, decisions: [] });
  });

  test("of nothing changes nothing", () => {
    const state = initialState();
    expect(step(state, { type: "stop" }, 1)).toEqual({ state, decisions: [] });
  });
});

describe("an erase", () => {
  const lived = sayTurn(
    closeTurn(openTurn(user(initialState(), "secret", 1_000).state), emptyEnding("failed", "secret"), 2),
    "secret",
    3,
  ).state;

  test("forgets everything but the turn counter and its date", () => {
    expect(eraseState({ ...lived, locale: "nl", tier: "big", assistant: "shop" }, 9)).toEqual({
      ...initialState(),
      turn: 2,
      erasedAt: 9,
      erasedTurn: 2,
    });
  });

  test("is followed by a new conversation that goes on counting", () => {
    const { state } = user(eraseState(lived, 9), "b", 10);
    expect(state).toMatchObject({ turn: 2, createdAt: 10, history: [], erasedTurn: 2 });
    expect(state.erasedAt).toBeUndefined();
    expect(openTurn(state).open.turn).toBe(3);
  });

  test("does not swallow what the bot says afterwards", () => {
    const said = sayTurn(eraseState(lived, 9), "welcome back", 10).state;
    expect(user(said, "b", 11).state.history.map((t) => t.reply)).toEqual(["welcome back"]);
  });
});

test("the assistant and the tier of a conversation are those of its first turn", () => {
  const first = user(initialState(), "a", 1, NONE, { ...text("x"), assistant: "shop" }).state;
  const second = user(first, "b", 2, NONE, { ...text("y"), assistant: "other" }).state;
  expect(second.assistant).toBe("shop");
  const waiting = awaitJob(openTurn({ ...second, tier: "big" }), jobOf("j"));
  expect(waiting.tier).toBe("big");
});
