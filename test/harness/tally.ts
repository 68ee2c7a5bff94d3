// A user's actor for fault runs: it writes down the names it was told, and in the same list when its timer was set,
// cancelled and fired; it fails and kills its process when it is told to. Version 2 counts too, as a later build would.
import { z } from "zod";
import { type ActorKind, defineActor } from "#runtime/actor/define.ts";

const name = z.object({ name: z.string() });
const names = z.array(z.string());

const messages = {
  add: name,
  fail: name,
  exit: name,
  later: z.object({ afterMs: z.number(), name: z.string() }),
  never: name,
};

/** The one timer of a tally. */
const TIMER = "one";
/** What stands in the list before the name with which a timer was set, and before that with which it was cancelled. */
export const SET = "set ";
export const CANCELLED = "cancelled ";

export type TallyBuild = "old" | "new" | "forgetful";

/** `forgetful` loses what the old build wrote: for a control run. */
export function tally(build: TallyBuild): ActorKind {
  return build === "old" ? old : build === "new" ? newer((known) => known) : newer(() => []);
}

const die = (): never => {
  process.kill(process.pid, "SIGKILL");
  throw new Error("unreachable");
};

const old = defineActor({
  kind: "tally",
  version: 1,
  state: z.object({ names }),
  messages,
  initial: () => ({ names: [] as string[] }),
  on: {
    add: (actor, { name }) => void actor.state.names.push(name),
    fail: (_actor, { name }) => {
      throw new Error(`cannot ${name}`);
    },
    exit: die,
    later: (actor, { afterMs, name }) => {
      actor.state.names.push(SET + name);
      actor.schedule(TIMER, { afterMs }, "add", { name });
    },
    never: (actor, { name }) => {
      actor.state.names.push(CANCELLED + name);
      actor.cancel(TIMER);
    },
  },
});

const newer = (keep: (names: string[]) => string[]): ActorKind =>
  defineActor({
    kind: "tally",
    version: 2,
    state: z.object({ names, count: z.number() }),
    messages,
    initial: () => ({ names: [] as string[], count: 0 }),
    upgrades: {
      1: (state) => {
        const kept = keep((state as { names: string[] }).names);
        return { names: kept, count: kept.length };
      },
    },
    on: {
      add: (actor, { name }) => {
        actor.state.names.push(name);
        actor.state.count++;
      },
      fail: (_actor, { name }) => {
        throw new Error(`cannot ${name}`);
      },
      exit: die,
      later: (actor, { afterMs, name }) => {
        actor.state.names.push(SET + name);
        actor.state.count++;
        actor.schedule(TIMER, { afterMs }, "add", { name });
      },
      never: (actor, { name }) => {
        actor.state.names.push(CANCELLED + name);
        actor.state.count++;
        actor.cancel(TIMER);
      },
    },
  });
