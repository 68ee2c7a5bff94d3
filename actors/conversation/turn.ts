/**
 * The life of a turn as a pure state machine. This is the page to read first.
 *
 *   idle --user--> collecting --quiet time over--> opening --cache hit--> closed (idle)
 *                                                    |  ^
 *                                                    |  +-- landed, or time over -- waiting for the same question of
 *                                                    |                              somebody else (single flight)
 *                                                    +--job--> answering --result--> closed (idle)
 *                                                                 |  ^
 *                                                                 v  |   (tools come here: calling)
 *                                                    stop, deadline, failure: closed with what there is
 *
 * Messages that come while a turn is answered wait in `pending` and become the next turn together.
 * No I/O and no clock: `now` comes in, decisions go out. actor.ts carries them out.
 */
import type { Citation } from "#contracts/content.ts";
import { textOf } from "#contracts/content.ts";
import type { JobResult } from "#contracts/job.ts";
import { LIMITS } from "#contracts/limits.ts";
import type { PriorityClass } from "#contracts/subjects.ts";
import type { Outcome, RouteDecision, UserMessage } from "#contracts/turn.ts";
import { NO_USAGE, type Usage } from "#contracts/usage.ts";

export interface Asked {
  readonly id: string;
  readonly text: string;
  readonly at: number;
}

/** A closed turn as the next ones remember it. */
export interface PastTurn {
  readonly turn: number;
  readonly messages: readonly Asked[];
  readonly reply: string;
  readonly citations: readonly Citation[];
  readonly model: string;
  readonly cached: boolean;
  readonly outcome: Outcome;
  readonly at: number;
}

/** The turn that is running. */
export interface OpenTurn {
  readonly turn: number;
  readonly messages: readonly Asked[];
  readonly startedAt: number;
  readonly channel: string;
  /** The job it waits for, once one is committed. */
  readonly job?: Waiting;
  readonly stopping?: boolean;
  /** Since when it waits for somebody else's answer to the same question; kept when it then asks itself. */
  readonly waitingSince?: number;
}

export interface Waiting {
  readonly id: string;
  readonly step: number;
  readonly pool: string;
  readonly cls: PriorityClass;
  readonly deadline: number;
  readonly route: RouteDecision;
  readonly locale: string;
  /** Why no cache was asked. */
  readonly uncached?: string;
}

export interface ConversationState {
  /** Number of the last turn that was opened or said. */
  readonly turn: number;
  readonly assistant?: string;
  readonly channel: string;
  readonly locale?: string;
  /** Quality class the conversation keeps. */
  readonly tier?: string;
  readonly pending: readonly Asked[];
  /** Until when further messages join the burst; absent when none is collecting. */
  readonly collectUntil?: number;
  readonly open?: OpenTurn;
  /** The last closed turns, bounded by count and bytes; read from TURNS when the actor is activated. */
  readonly history: readonly PastTurn[];
  readonly createdAt: number;
  /** Set by an erase: what comes late finds nothing to belong to. */
  readonly erasedAt?: number;
  /** The last turn that an erase took; stays when somebody writes again. */
  readonly erasedTurn?: number;
  /** Begun by a restore, with nothing before it: all that is exported of it is its own. */
  readonly restored?: boolean;
  /** Set when nobody had written for long: the record is small, and no timer runs until somebody does. */
  readonly idleSince?: number;
  /** Message ids since the last time that ids were written down beside the turns; absent: never written. */
  readonly unindexed?: number;
  /** What the turns up to one of them come to, where a model was asked. */
  readonly summary?: { readonly text: string; readonly upTo: number };
  /** The job that is to summarise the turns up to one of them; nothing is asked for again before `untilAt`. */
  readonly summing?: { readonly job: string; readonly upTo: number; readonly untilAt: number };
  /** Place in TURNS of the last record of ids, where it is known; stored with the places of turns. */
  readonly idsAt?: number;
  /** Of ids that were written down, where they were read since the activation; never stored. */
  readonly oldIds?: readonly OldIds[];
}

/** Message ids, shortened, that were written down together. */
export interface OldIds {
  /** Place in TURNS of the record that they were written in; 0 until it is acknowledged. */
  seq: number;
  /** Of the last one that repeats them. */
  record: number;
  readonly ids: readonly number[];
}

export const initialState = (): ConversationState => ({
  turn: 0,
  channel: "web",
  pending: [],
  history: [],
  createdAt: 0,
});

/** How long further messages may join a burst, by channel, and the longest a burst may take. */
export interface Quiet {
  readonly quietMs: number;
  readonly capMs: number;
}

export type Event =
  | {
      readonly type: "user";
      readonly id: string;
      readonly at: number;
      readonly message: UserMessage;
      readonly quiet: Quiet;
    }
  | { readonly type: "collected" }
  | { readonly type: "stop" };

/** What the machine asks its actor to do besides keeping the state. */
export type Decision =
  | { readonly do: "collect"; readonly untilAt: number }
  | { readonly do: "cancel"; readonly job: Waiting; readonly turn: number }
  | { readonly do: "abandon" };

export interface Step {
  readonly state: ConversationState;
  readonly decisions: readonly Decision[];
}

/** Takes one event in. Whether a turn is to be opened now is asked of `mayOpen` afterwards. */
export function step(state: ConversationState, event: Event, now: number): Step {
  switch (event.type) {
    case "user":
      return collect(state, event, now);
    case "collected":
      return { state: withoutCollecting(state), decisions: [] };
    case "stop":
      return stop(state);
  }
}

function collect(before: ConversationState, event: Extract<Event, { type: "user" }>, now: number): Step {
  const { message, quiet } = event;
  const fresh = before.createdAt === 0 || before.erasedAt !== undefined;
  const { turn, erasedTurn } = before;
  const erased = erasedTurn === undefined ? {} : { erasedTurn };
  const state = fresh ? { ...initialState(), turn, ...erased, createdAt: now } : awake(before);
  const next: ConversationState = {
    ...state,
    channel: message.channel,
    ...(message.locale ? { locale: message.locale } : {}),
    ...(state.assistant === undefined && message.assistant !== undefined
      ? { assistant: message.assistant }
      : {}),
    pending: [
      ...state.pending,
      { id: event.id, text: boundedText(state.pending, textOf(message.parts)), at: event.at },
    ],
  };
  if (quiet.quietMs === 0) return { state: next, decisions: [] };
  const first = next.pending[0] as Asked;
  const untilAt = Math.min(now + quiet.quietMs, Math.max(now, first.at + quiet.capMs));
  // Also while a turn is answered: it may close before the quiet time is over, and nothing else would open the next.
  return { state: { ...next, collectUntil: untilAt }, decisions: [{ do: "collect", untilAt }] };
}

function awake(state: ConversationState): ConversationState {
  if (state.idleSince === undefined) return state;
  const { idleSince: _, ...rest } = state;
  return rest;
}

/** When the conversation may be closed as idle: nobody has written since, and nobody waits. */
export function idleAt(state: ConversationState, idleMs: number, now: number): number {
  if (state.open || state.pending.length > 0) return now + idleMs;
  return Math.max(state.createdAt, state.history.at(-1)?.at ?? 0) + idleMs;
}

/** Every message is answered; what is beyond the bound only keeps its id, so that a flood does not grow the state. */
function boundedText(pending: readonly Asked[], text: string): string {
  const held = pending.reduce((sum, p) => sum + p.text.length, 0);
  return held + text.length <= LIMITS.messageTextChars * 2 ? text : "";
}

function withoutCollecting(state: ConversationState): ConversationState {
  const { collectUntil: _, ...rest } = state;
  return rest;
}

function stop(state: ConversationState): Step {
  const { open } = state;
  if (isWaiting(state)) return { state, decisions: [{ do: "abandon" }] };
  if (!open?.job || open.stopping) return { state, decisions: [] };
  return {
    state: { ...state, open: { ...open, stopping: true } },
    decisions: [{ do: "cancel", job: open.job, turn: open.turn }],
  };
}

/** True when messages wait, no turn is running and the quiet time is over. */
export function mayOpen(state: ConversationState, now: number): boolean {
  return (
    state.open === undefined &&
    state.pending.length > 0 &&
    (state.collectUntil === undefined || state.collectUntil <= now)
  );
}

/** Opens the next turn with all that waits. */
export function openTurn(state: ConversationState): ConversationState & { readonly open: OpenTurn } {
  const messages = state.pending.slice(0, LIMITS.burstMessages);
  const turn = state.turn + 1;
  return {
    ...withoutCollecting(state),
    turn,
    pending: state.pending.slice(messages.length),
    open: { turn, messages, startedAt: (messages[0] as Asked).at, channel: state.channel },
  };
}

/** The open turn waits for a job. */
export function awaitJob(state: ConversationState, job: Waiting): ConversationState {
  if (!state.open) throw new Error("no turn is open");
  return { ...state, tier: state.tier ?? job.route.tier, open: { ...state.open, job } };
}

/** The open turn waits for the answer that somebody else gets to the same question. */
export function awaitLanding(state: ConversationState, now: number): ConversationState {
  if (!state.open) throw new Error("no turn is open");
  return { ...state, open: { ...state.open, waitingSince: now } };
}

/** True while the open turn waits for somebody else's answer; with `turn`, while that turn does. */
export const isWaiting = ({ open }: ConversationState, turn?: number): boolean =>
  open?.waitingSince !== undefined && open.job === undefined && (turn === undefined || open.turn === turn);

/** How the open turn ended. */
export interface Ending {
  readonly outcome: Outcome;
  readonly reply: string;
  readonly citations: readonly Citation[];
  readonly model: string;
  readonly cached: boolean;
  readonly usage: Usage;
}

/** Closes the open turn. */
export function closeTurn(state: ConversationState, ending: Ending, now: number): ConversationState {
  const { open, ...rest } = state;
  if (!open) throw new Error("no turn is open");
  const past: PastTurn = {
    turn: open.turn,
    messages: open.messages,
    reply: ending.reply,
    citations: ending.citations,
    model: ending.model,
    cached: ending.cached,
    outcome: ending.outcome,
    at: now,
  };
  return { ...rest, history: boundHistory([...state.history, past]) };
}

/** Records what the bot said of its own accord as a turn of its own. */
export function sayTurn(
  state: ConversationState,
  text: string,
  now: number,
): { state: ConversationState; turn: number } {
  const turn = state.turn + 1;
  const { erasedAt: _, ...alive } = awake(state);
  const past: PastTurn = {
    turn,
    messages: [],
    reply: text,
    citations: [],
    model: "",
    cached: false,
    outcome: "said",
    at: now,
  };
  return {
    turn,
    state: {
      ...alive,
      turn,
      createdAt: state.createdAt || now,
      history: boundHistory([...state.history, past]),
    },
  };
}

/** True when a result belongs to the job that the open turn waits for; all others are late. */
export function isAwaited(state: ConversationState, result: Pick<JobResult, "job" | "step">): boolean {
  return state.open?.job?.id === result.job && state.open.job.step === result.step;
}

/** How a turn ends in which no model and no cache had a part. */
export function emptyEnding(outcome: Exclude<Outcome, "answered">, reply: string): Ending {
  return { outcome, reply, citations: [], model: "", cached: false, usage: NO_USAGE };
}

/** Keeps the newest turns within the bounds of count and bytes, at least the last one. */
export function boundHistory(history: readonly PastTurn[]): readonly PastTurn[] {
  let kept = history.slice(-LIMITS.historyTurns);
  let total = kept.reduce((n, t) => n + bytesOf(t), 0);
  while (kept.length > 1 && total > LIMITS.historyBytes) {
    total -= bytesOf(kept[0] as PastTurn);
    kept = kept.slice(1);
  }
  return kept;
}

/** Bytes of what a model is shown of a turn. */
export const bytesOf = ({ messages, reply }: PastTurn): number =>
  messages.reduce((sum, { text }) => sum + Buffer.byteLength(text), Buffer.byteLength(reply));

/** Everything is forgotten but the turn counter and the date. */
export function eraseState(state: ConversationState, now: number): ConversationState {
  return { ...initialState(), turn: state.turn, createdAt: 0, erasedAt: now, erasedTurn: state.turn };
}
