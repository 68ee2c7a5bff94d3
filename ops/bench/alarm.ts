/** The actor of `jetclaw bench timers`, written as a user would write it: it sets a timer and counts its firings. */
import { z } from "zod";
import { defineActor } from "#runtime/actor/define.ts";

export interface AlarmState {
  readonly dueAt: number;
  readonly fired: number;
  /** When the handler of the last firing began, ms since the epoch. */
  readonly firedAt: number;
  /** When the timer was set. */
  readonly setAt: number;
}

const due = z.object({ dueAt: z.number() });

export const alarm = defineActor({
  kind: "alarm",
  version: 1,
  state: z.object({ dueAt: z.number(), fired: z.number(), firedAt: z.number(), setAt: z.number() }),
  messages: { set: due, ring: due },
  initial: () => ({ dueAt: 0, fired: 0, firedAt: 0, setAt: 0 }),
  on: {
    set(actor, { dueAt }) {
      actor.state.dueAt = dueAt;
      actor.state.setAt = actor.now;
      actor.schedule("alarm", { at: dueAt }, "ring", { dueAt });
    },
    ring(actor) {
      actor.state.fired++;
      actor.state.firedAt = actor.now;
    },
  },
});
