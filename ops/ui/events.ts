/**
 * How one event of the stream changes the view. Events may repeat, come late or get lost, and two attempts of a
 * turn may interleave: the highest attempt wins, `done` brings the full text, the transcript settles the rest.
 */
import type { Outcome, StreamEvent } from "#contracts/turn.ts";
import { type SessionView, type TurnView, withTurn } from "./view.ts";

export function withEvent(view: SessionView, event: StreamEvent): SessionView {
  switch (event.type) {
    case "turn":
      return withMessages(view, event.turn, event.messages ?? []);
    case "delta":
      return withOrigin(
        withTurn(view, event.turn, (turn) => appended(turn, event)),
        event.turn,
      );
    case "restart":
      return withTurn(view, event.turn, (turn) =>
        turn.closed || event.attempt <= turn.attempt ? turn : superseded(turn, event.attempt),
      );
    case "done":
      return ended(view, event, event.answer?.outcome ?? "answered");
    case "error":
      return ended(view, event, "failed");
  }
}

/** A turn took these messages. Ids the page never saw belong to another tab: only the transcript has their text. */
function withMessages(view: SessionView, number: number, ids: readonly string[]): SessionView {
  const taken = view.pending.filter((p) => ids.includes(p.id));
  const next = withTurn(view, number, (turn) => {
    const fresh = taken.filter((p) => !turn.messages.some((m) => m.id === p.id));
    if (fresh.length === 0) return turn;
    const messages = [...turn.messages, ...fresh.map(({ id, text, at }) => ({ id, text, at }))];
    return { ...turn, messages };
  });
  const known = new Set(next.turns.flatMap((t) => t.messages.map((m) => m.id)));
  return {
    ...next,
    pending: next.pending.filter((p) => !ids.includes(p.id)),
    stale: next.stale || ids.some((id) => !known.has(id)),
  };
}

/** Deltas of a turn whose question is unknown: the page joined in the middle, the transcript tells the rest. */
function withOrigin(view: SessionView, number: number): SessionView {
  if (view.stale) return view;
  const turn = view.turns.find((t) => t.turn === number);
  const orphan = turn !== undefined && !turn.closed && turn.messages.length === 0 && turn.chunks.size === 1;
  return orphan ? { ...view, stale: true } : view;
}

function appended(turn: TurnView, event: StreamEvent): TurnView {
  if (turn.closed || event.attempt < turn.attempt) return turn;
  const current = event.attempt > turn.attempt ? superseded(turn, event.attempt) : turn;
  if (current.chunks.has(event.number)) return current;
  const chunks = new Map(current.chunks).set(event.number, event.text ?? "");
  return { ...current, chunks, text: textOf(chunks) };
}

/** A higher attempt replaces what was shown; it is called a restart only where something had been shown. */
function superseded(turn: TurnView, attempt: number): TurnView {
  const restarted = turn.restarted || turn.text !== "";
  return { ...turn, attempt, chunks: new Map(), text: "", restarted };
}

/** Lost chunks leave a visible gap instead of words silently joined; `done` brings the full text. */
function textOf(chunks: ReadonlyMap<number, string>): string {
  let expected = 1;
  let text = "";
  for (const [number, chunk] of [...chunks].sort(([a], [b]) => a - b)) {
    text += number === expected ? chunk : ` … ${chunk}`;
    expected = number + 1;
  }
  return text;
}

function ended(view: SessionView, event: StreamEvent, outcome: Outcome): SessionView {
  const known = view.turns.find((t) => t.turn === event.turn);
  // A closed turn changes only for a higher attempt's end. What came by the transcript counts as the highest.
  if (known?.closed && event.attempt <= known.attempt) return view;
  // The end of an attempt that was superseded is not shown, but the turn may be closed by it: ask the transcript.
  if (known && event.attempt < known.attempt && event.attempt > 0) return { ...view, stale: true };
  const next = withTurn(view, event.turn, (turn) => ({
    ...turn,
    closed: true,
    attempt: Math.max(turn.attempt, event.attempt),
    text: event.answer?.reply ?? event.text ?? turn.text,
    citations: event.answer?.citations ?? turn.citations,
    model: event.answer?.model ?? turn.model,
    cached: event.answer?.cached ?? turn.cached,
    reference: event.answer?.reference,
    outcome,
  }));
  const status = next.status === "handed-over" ? next.status : "idle";
  return { ...next, status, stale: next.stale || event.type === "error" };
}
