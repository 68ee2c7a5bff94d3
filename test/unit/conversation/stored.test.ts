// What is written of a conversation and read again, by this version and by the ones before it.
import { describe, expect, test } from "vitest";
import {
  placeTurn,
  STATE_VERSION,
  type StoredState,
  storeState,
  upgradeState,
  withPast,
} from "#actors/conversation/stored.ts";
import { type ConversationState, initialState, type PastTurn } from "#actors/conversation/turn.ts";
import { decode, encode } from "#contracts/codec.ts";
import { LIMITS } from "#contracts/limits.ts";

const past = (turn: number): PastTurn => ({
  turn,
  messages: [{ id: `m${turn}`, text: `question ${turn}`, at: turn }],
  reply: `answer ${turn}`,
  citations: [],
  model: "echo",
  cached: false,
  outcome: "answered",
  at: turn,
});
const stateOf = (history: readonly PastTurn[]): ConversationState => ({
  ...initialState(),
  turn: history.length,
  createdAt: 1,
  history,
});
const written = (state: ConversationState): StoredState => decode(encode(storeState(state)));

describe("closed turns", () => {
  test("are written until their place in TURNS is known, then only where they lie", () => {
    const history = [past(1), past(2), past(3)];
    expect(written(stateOf(history))).toEqual(stateOf(history));
    placeTurn(history[0] as PastTurn, 17);
    placeTurn(history[1] as PastTurn, 40);
    expect(written(stateOf(history))).toEqual({
      ...stateOf(history),
      history: [past(3)],
      from: 17,
      places: { turn: 3, seqs: [17, 40] },
    });
    // The first one is beyond the bound by now.
    expect(written(stateOf(history.slice(1)))).toMatchObject({ from: 40, places: { turn: 2, seqs: [40] } });
  });

  test("that were restored lie behind newer ones: all of them are read again", () => {
    const history = [past(1), past(2), past(3)];
    for (const [n, seq] of [900, 40, 41].entries()) placeTurn(history[n] as PastTurn, seq);
    expect(written(stateOf(history))).toMatchObject({ history: [], from: 40 });
  });

  test("come back from both places, each once, in order, within the bound", () => {
    const places = Array.from({ length: LIMITS.historyTurns }, (_, n) => ({
      turn: past(n + 1),
      seq: n + 100,
    }));
    const last = LIMITS.historyTurns + 1;
    const stored = { ...stateOf([past(last - 1), past(last)]), from: 100 };
    const state = withPast(stored, places);
    expect(state.history.map(({ turn }) => turn)).toEqual(
      Array.from({ length: LIMITS.historyTurns }, (_, n) => n + 2),
    );
    expect(written(state)).toMatchObject({ history: [past(last)], from: 101 });
  });
});

describe("a state of version 1", () => {
  // Written by that version: its history was bytes, a turn each.
  const old = decode(
    Buffer.from(
      encode({
        ...stateOf([]),
        turn: 2,
        tier: "large",
        pending: [{ id: "m3", text: "and now?", at: 3 }],
        history: [encode(past(1)), encode(past(2))],
      }),
    ),
  );

  test("keeps everything it held", () => {
    expect(withPast(upgradeState(old, 1) as StoredState, [])).toEqual({
      ...stateOf([past(1), past(2)]),
      tier: "large",
      pending: [{ id: "m3", text: "and now?", at: 3 }],
    });
  });

  test("of a version yet to come is left alone", () => {
    expect(() => upgradeState(old, STATE_VERSION + 1)).toThrow(/state-newer/);
  });
});
