/**
 * The shapes of what the page shows of a conversation, and the two ways to change a turn in it.
 * No DOM, no clock, no network.
 */
import type { Citation } from "#contracts/content.ts";
import type { Outcome, Transcript } from "#contracts/turn.ts";

export interface Message {
  readonly id: string;
  readonly text: string;
  readonly at: number;
}

export type FailureReason = "network" | "server" | "too-long" | "refused" | "key";
export type Delivery =
  | { readonly state: "sending" }
  | { readonly state: "accepted" }
  /** The gateway asked to wait; sent again at `until` (ms since the epoch). */
  | { readonly state: "waiting"; readonly until: number }
  | { readonly state: "failed"; readonly reason: FailureReason };

/** A message that no turn has taken yet. */
export interface PendingMessage extends Message {
  readonly delivery: Delivery;
}

export interface TurnView {
  readonly turn: number;
  readonly messages: readonly Message[];
  readonly closed: boolean;
  /** The attempt that is shown; what lower attempts still send is ignored. */
  readonly attempt: number;
  /** Deltas of the shown attempt by number: they may arrive twice, late or with a gap. */
  readonly chunks: ReadonlyMap<number, string>;
  /** What was shown of this turn was taken back, and another attempt answers. */
  readonly restarted: boolean;
  readonly text: string;
  readonly citations: readonly Citation[];
  readonly model: string | null;
  readonly cached: boolean;
  readonly outcome?: Outcome | undefined;
  readonly reference?: string | undefined;
  readonly feedback?: "up" | "down" | undefined;
}

export interface SessionView {
  readonly session: string;
  readonly status: Transcript["status"];
  readonly turns: readonly TurnView[];
  readonly pending: readonly PendingMessage[];
  /** An event does not fit what is known (a message of another tab, a superseded end): read the transcript. */
  readonly stale: boolean;
}

export function emptyView(session: string, pending: readonly PendingMessage[] = []): SessionView {
  return { session, status: "idle", turns: [], pending, stale: false };
}

/** The turn that is being answered, if one is. */
export function runningTurn(view: SessionView): TurnView | undefined {
  return view.turns.findLast((turn) => !turn.closed);
}

/** A message is in the queue or on its way there, and no turn has taken it yet. */
export function isAwaited(view: SessionView): boolean {
  return view.pending.some((p) => p.delivery.state === "accepted" || p.delivery.state === "sending");
}

export function newTurn(turn: number): TurnView {
  return {
    turn,
    messages: [],
    closed: false,
    attempt: 0,
    chunks: new Map(),
    restarted: false,
    text: "",
    citations: [],
    model: null,
    cached: false,
  };
}

/** Changes one turn, known or new; everything else keeps its identity, so that the page renders only what moved. */
export function withTurn(
  view: SessionView,
  number: number,
  change: (turn: TurnView) => TurnView,
): SessionView {
  const known = view.turns.find((t) => t.turn === number);
  const before = known ?? newTurn(number);
  const after = change(before);
  if (known && after === known) return view;
  const others = view.turns.filter((t) => t.turn !== number);
  return { ...view, turns: [...others, after].sort((a, b) => a.turn - b.turn) };
}
