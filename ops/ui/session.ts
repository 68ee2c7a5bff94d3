/**
 * The page's state machine: actions in, a new view out, nothing else touched. Events have their rules in events.ts;
 * here is what the person does and what the transcript says.
 */
import type { StreamEvent, Transcript, TranscriptTurn } from "#contracts/turn.ts";
import { withEvent } from "./events.ts";
import {
  type Delivery,
  emptyView,
  type Message,
  newTurn,
  type PendingMessage,
  type SessionView,
  type TurnView,
  withTurn,
} from "./view.ts";

export type Action =
  | { readonly type: "opened"; readonly session: string; readonly pending: readonly PendingMessage[] }
  | { readonly type: "transcript"; readonly transcript: Transcript }
  | { readonly type: "erased"; readonly upTo: number }
  | { readonly type: "event"; readonly event: StreamEvent }
  | { readonly type: "written"; readonly message: Message }
  | { readonly type: "delivery"; readonly id: string; readonly delivery: Delivery }
  | { readonly type: "discarded"; readonly id: string }
  | { readonly type: "rated"; readonly turn: number; readonly value: "up" | "down" | undefined };

/** Attempt of a turn that the transcript closed: no event outranks it. */
const SETTLED = Number.MAX_SAFE_INTEGER;

export function reduce(view: SessionView, action: Action): SessionView {
  switch (action.type) {
    case "opened":
      return emptyView(action.session, action.pending);
    case "transcript":
      return withTranscript(view, action.transcript);
    case "erased":
      return withoutErased(view, action.upTo);
    case "event":
      return withEvent(view, action.event);
    case "written":
      return { ...view, pending: [...view.pending, { ...action.message, delivery: { state: "sending" } }] };
    case "delivery":
      return {
        ...view,
        pending: view.pending.map((p) => (p.id === action.id ? { ...p, delivery: action.delivery } : p)),
      };
    case "discarded":
      return { ...view, pending: view.pending.filter((p) => p.id !== action.id) };
    case "rated":
      return withTurn(view, action.turn, (turn) => ({ ...turn, feedback: action.value }));
  }
}

/** The transcript is the truth, but it may be older than an event already seen: a closed turn never reopens. */
function withTranscript(view: SessionView, transcript: Transcript): SessionView {
  const turns = transcript.turns.map((theirs) => {
    const ours = view.turns.find((t) => t.turn === theirs.turn);
    return ours && sameAs(ours, theirs) ? ours : merged(ours, theirs);
  });
  const last = turns.at(-1)?.turn ?? 0;
  const newer = view.turns.filter(
    (t) => t.turn > last && (t.closed || t.chunks.size > 0 || t.messages.length > 0),
  );
  const taken = new Set(turns.flatMap((t) => t.messages.map((m) => m.id)));
  return {
    session: view.session,
    status: transcript.status,
    turns: [...turns, ...newer],
    pending: view.pending.filter((p) => !taken.has(p.id)),
    stale: false,
  };
}

/**
 * Nothing of the conversation is left up to a turn. A message that no turn has taken may be from before or after that:
 * who wrote it decides, and a repeat has its id.
 */
function withoutErased(view: SessionView, upTo: number): SessionView {
  return {
    ...emptyView(view.session),
    turns: view.turns.filter(({ turn }) => turn > upTo),
    pending: view.pending.map((p) =>
      p.delivery.state === "accepted" ? { ...p, delivery: { state: "failed", reason: "server" } } : p,
    ),
  };
}

function merged(ours: TurnView | undefined, theirs: TranscriptTurn): TurnView {
  const base = { ...(ours ?? newTurn(theirs.turn)), messages: theirs.messages };
  if (theirs.reply === null) return base;
  return {
    ...base,
    closed: true,
    attempt: SETTLED,
    text: theirs.reply,
    citations: theirs.citations,
    model: theirs.model,
    cached: theirs.cached,
    outcome: theirs.outcome ?? "answered",
    // A thumb given a moment ago may not be in the record yet.
    feedback: theirs.feedback ?? ours?.feedback,
  };
}

function sameAs(ours: TurnView, theirs: TranscriptTurn): boolean {
  const sameMessages = ours.messages.length === theirs.messages.length;
  if (theirs.reply === null) return sameMessages;
  const settled = ours.closed && ours.attempt === SETTLED;
  return (
    settled &&
    sameMessages &&
    ours.text === theirs.reply &&
    (theirs.feedback ?? ours.feedback) === ours.feedback
  );
}
