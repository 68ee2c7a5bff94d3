/**
 * A conversation that nobody writes to any more. One timer, set with the first turn and moved only when it fires and finds
 * newer activity: a turn writes no schedule.
 */
import type { SystemActor } from "#runtime/actor/define.ts";
import type { IdsIndex } from "./old-ids.ts";
import { type ConversationState, idleAt } from "./turn.ts";

type ConversationActor = SystemActor<ConversationState>;

const IDLE_TIMER = "idle";
/** A ring of so few ids is small enough to stay. */
const FEW_IDS = 32;

/** Sets the timer where a conversation has none. */
export function armIdle(actor: ConversationActor, idleMs: number): void {
  const { state } = actor;
  if (state.createdAt === 0 || state.idleSince !== undefined || actor.isScheduled(IDLE_TIMER)) return;
  actor.schedule(IDLE_TIMER, { at: idleAt(state, idleMs, actor.now) }, "idle", {});
}

/**
 * The timer fired. The turns stay in TURNS and are read from there when somebody writes again; the ids that the runtime
 * remembers are written down beside them.
 */
export async function idle(actor: ConversationActor, idleMs: number, index: IdsIndex): Promise<void> {
  const { state } = actor;
  if (state.createdAt === 0 || state.idleSince !== undefined) return;
  const at = idleAt(state, idleMs, actor.now);
  if (at > actor.now) return actor.schedule(IDLE_TIMER, { at }, "idle", {});
  if (actor.rememberedIds().length > FEW_IDS) {
    await index.write(actor, 0);
    actor.forgetIds();
  }
  actor.state = { ...actor.state, idleSince: actor.now };
}
