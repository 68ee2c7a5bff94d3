/**
 * How a conversation's state lies in the store. Closed turns lie in TURNS and not in the state: only those whose place in
 * the stream is not known yet are kept, and the places of the others. A state is written twice a turn, so what a
 * conversation has said must not be part of it.
 */
import { CONVERSATION } from "#contracts/turn.ts";
import { applyUpgrades, type Keeping } from "#runtime/actor/define.ts";
import { boundHistory, type ConversationState, type PastTurn } from "./turn.ts";

/** The first that was released: there is nothing older to be upgraded. */
export const STATE_VERSION = 2;

/** Brings a stored state to this version. @throws JetclawError `actor.state-newer` */
export const upgradeState = (state: unknown, from: number): unknown =>
  applyUpgrades(CONVERSATION, STATE_VERSION, {}, state, from);

/** `history` holds the turns without a known place. */
export interface StoredState extends ConversationState {
  /** The places of all the others, as of a turn: code that knows of none of this leaves it behind when it goes on. */
  readonly places?: { readonly turn: number; readonly seqs: readonly number[]; readonly ids?: number };
}

/** Sequence in TURNS of a closed turn, once its record was acknowledged. */
const places = new WeakMap<PastTurn, number>();

/** The turn's record lies in TURNS at `seq`: from the next commit on the state need not hold it. */
export function placeTurn(turn: PastTurn, seq: number): void {
  places.set(turn, seq);
}

export function storeState(state: ConversationState): StoredState {
  const seqs = state.history.flatMap((turn) => places.get(turn) ?? []);
  const { oldIds, idsAt, ...stored } = state;
  // Not while a record is on its way: who comes next would look no further than the one before.
  const ids = oldIds ? oldIds.at(-1)?.record : idsAt;
  return {
    ...stored,
    history: state.history.filter((turn) => !places.has(turn)),
    ...(seqs.length === 0 && !ids ? {} : { places: { turn: state.turn, seqs, ...(ids ? { ids } : {}) } }),
  };
}

/** A state with the closed turns that its stored form leaves in TURNS. */
export function withPast(
  { places: known, ...state }: StoredState,
  past: readonly { readonly turn: PastTurn; readonly seq: number }[],
): ConversationState {
  const idsAt = known?.turn === state.turn ? known.ids : undefined;
  const history = new Map(state.history.map((turn) => [turn.turn, turn]));
  for (const { turn, seq } of past) {
    placeTurn(turn, seq);
    history.set(turn.turn, turn);
  }
  const turns = [...history.values()].sort((a, b) => a.turn - b.turn);
  return { ...state, ...(idsAt ? { idsAt } : {}), history: boundHistory(turns) };
}

/** What is kept beside the record while nobody speaks: copies of turns that it leaves in TURNS, by their places there. */
interface KeptTurns {
  readonly v: 1;
  readonly turns: readonly { readonly seq: number; readonly turn: PastTurn }[];
}

/** How long a tenant's turns may be kept; undefined: for good. */
export type TurnsAge = (tenant: string) => number | undefined;

/** A conversation of one turn has it in its record, until that is closed as idle. */
export const keepingTurns = (ageMsOf: TurnsAge): Keeping => ({
  isDue(state) {
    const { open, pending, history, idleSince } = state as ConversationState;
    const rests = open === undefined && pending.length === 0;
    return (
      rests && (history.length > 1 || idleSince !== undefined) && history.some((turn) => places.has(turn))
    );
  },
  take(state, { tenant }, now) {
    const ageMs = ageMsOf(tenant) ?? Number.POSITIVE_INFINITY;
    const turns = (state as ConversationState).history.flatMap((turn) => {
      const seq = places.get(turn);
      return seq === undefined || turn.at + ageMs <= now ? [] : [{ seq, turn }];
    });
    const data: KeptTurns = { v: 1, turns };
    const ttlMs = Math.min(...turns.map(({ turn }) => turn.at)) + ageMs - now;
    return Number.isFinite(ttlMs) ? { data, ttlMs: Math.max(1_000, ttlMs) } : { data };
  },
});

/** The copies by their places; none where there are none, or newer code has written them. */
export function keptTurns(kept: unknown): ReadonlyMap<number, PastTurn> {
  const { v, turns } = (kept ?? {}) as Partial<KeptTurns>;
  return new Map(v === 1 ? turns?.map(({ seq, turn }) => [seq, turn]) : []);
}
