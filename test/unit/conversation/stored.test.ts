// What is written of a conversation and read again.
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
      places: { turn: 3, seqs: [17, 40] },
    });
    // The first one is beyond the bound by now.
    expect(written(stateOf(history.slice(1)))).toMatchObject({ places: { turn: 2, seqs: [40] } });
  });

  test("come back from both places, each once, in order, within the bound", () => {
    const places = Array.from({ length: LIMITS.historyTurns }, (_, n) => ({
      turn: past(n + 1),
      seq: n + 100,
    }));
    const last = LIMITS.historyTurns + 1;
    const state = withPast(stateOf([past(last - 1), past(last)]), places);
    expect(state.history.map(({ turn }) => turn)).toEqual(
      Array.from({ length: LIMITS.historyTurns }, (_, n) => n + 2),
    );
    expect(written(state).history).toEqual([past(last)]);
    expect(written(state).places?.seqs[0]).toBe(101);
  });
});

test("a state of a version yet to come is left alone", () => {
  expect(() => upgradeState(stateOf([]), STATE_VERSION + 1)).toThrow(/state-newer/);
});
