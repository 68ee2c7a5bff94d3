/** Messages that come again: whoever waits is told the turn that the message has. */
import type { Envelope } from "#contracts/envelope.ts";
import { tokensSubject } from "#contracts/subjects.ts";
import { type Answer, answerOf, answerOfTurn, type StreamEvent, turnEvent } from "#contracts/turn.ts";
import type { SystemActor } from "#runtime/actor/define.ts";
import type { IdsIndex } from "./old-ids.ts";
import { REPEATED_ATTEMPT } from "./past-turns.ts";
import type { ConversationState } from "./turn.ts";

type ConversationActor = SystemActor<ConversationState>;

/** A message whose id is remembered: its turn is open, or closed a while ago. */
export function repeat(actor: ConversationActor, message: Envelope): void {
  if (message.type !== "user") return;
  const { open, history } = actor.state;
  const asked = ({ id }: { readonly id: string }): boolean => id === message.id;
  if (open?.messages.some(asked)) return announce(actor, open.turn, open.messages);
  const past = history.find((turn) => turn.messages.some(asked));
  if (!past) return;
  announce(actor, past.turn, past.messages);
  end(actor, answerOfTurn(actor.key, past));
}

/** A repeat whose id is remembered no more gets the turn that it already has. False: it is a new message. */
export async function answeredLongAgo(
  actor: ConversationActor,
  message: Envelope,
  index: IdsIndex,
): Promise<boolean> {
  // What an operator returns has a turn that apologised for it.
  if (message.redriven !== undefined) return false;
  if (waits(actor.state, message)) return true;
  const record = await index.turnOf(actor, message.id);
  if (!record) return false;
  announce(actor, record.turn, record.messages);
  end(actor, answerOf(record));
  return true;
}

/** Its turn is not closed, or not even open: no record names it yet. */
const waits = ({ open, pending }: ConversationState, { id }: Envelope): boolean =>
  pending.some((asked) => asked.id === id) || (open?.messages.some((asked) => asked.id === id) ?? false);

function announce(
  actor: ConversationActor,
  turn: number,
  messages: readonly { readonly id: string }[],
): void {
  const ids = messages.map(({ id }) => id);
  actor.emit(tokensSubject(actor.tenant, actor.key, turn), turnEvent(turn, ids));
}

function end(actor: ConversationActor, answer: Answer): void {
  const { turn, reply } = answer;
  actor.emit(tokensSubject(actor.tenant, actor.key, turn), {
    type: "done",
    turn,
    attempt: REPEATED_ATTEMPT,
    number: 1,
    text: reply,
    answer,
  } satisfies StreamEvent);
}
