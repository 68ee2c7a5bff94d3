// What the checker needs of a conversation's stored state. The only place of the harness that knows its shape.
import type { ConversationState } from "#actors/conversation/turn.ts";

/** Turns are opened one at a time, so all before the open one are closed. */
export function closedTurnsOf(state: unknown): number {
  const { turn, open } = state as Pick<ConversationState, "turn" | "open">;
  return open ? open.turn - 1 : turn;
}
