// A small actor for tests of the runtime: it writes down what it was told, in the order in which it was told.
import { z } from "zod";
import { defineActor } from "#runtime/actor/define.ts";
import type { ActorWorld } from "./actor-world.ts";
import { waitUntil } from "./wait.ts";

const name = z.object({ name: z.string() });
const gates = new Map<string, { readonly opened: Promise<void>; readonly open: () => void }>();

function gateOf(gate: string): { readonly opened: Promise<void>; readonly open: () => void } {
  const found = gates.get(gate);
  if (found) return found;
  const { promise, resolve } = Promise.withResolvers<void>();
  gates.set(gate, { opened: promise, open: resolve });
  return { opened: promise, open: resolve };
}

/** Lets the handlers go on that wait at a gate. */
export const openGate = (gate: string): void => gateOf(gate).open();

/** How often a handler was begun, by the name it was told. */
export const begun = new Map<string, number>();
function begin(what: string): void {
  begun.set(what, (begun.get(what) ?? 0) + 1);
}

/** What `flaky` fails with is mended for these names. */
export const mended = new Set<string>();

export interface CounterState {
  readonly seen: readonly string[];
}

export const counter = defineActor({
  kind: "counter",
  version: 1,
  state: z.object({ seen: z.array(z.string()) }),
  messages: {
    add: name,
    quiet: name,
    fail: name,
    flaky: name,
    clear: z.object({}),
    hold: name,
    grow: z.object({ chars: z.number() }),
    pass: z.object({ to: z.string(), name: z.string() }),
    later: z.object({ timer: z.string(), afterMs: z.number(), name: z.string() }),
    forget: z.object({ timer: z.string() }),
  },
  initial: () => ({ seen: [] as string[] }),
  view: (state) => ({ count: state.seen.length }),
  on: {
    add: (actor, { name }) => {
      actor.state.seen.push(name);
      actor.reply(actor.state.seen.length);
    },
    quiet: (actor, { name }) => {
      actor.state.seen.push(name);
    },
    fail: (actor, { name }) => {
      begin(name);
      actor.state.seen.push("never kept");
      throw new Error(`cannot ${name}`);
    },
    flaky: (actor, { name }) => {
      begin(name);
      if (!mended.has(name)) throw new Error(`${name} is not mended yet`);
      actor.state.seen.push(name);
    },
    clear: (actor) => {
      actor.state.seen = [];
    },
    hold: async (actor, { name }) => {
      begin(name);
      await gateOf(name).opened;
      actor.state.seen.push(name);
    },
    grow: (actor, { chars }) => {
      actor.state.seen.push("x".repeat(chars));
    },
    pass: (actor, { to, name }) => {
      actor.state.seen.push(name);
      actor.send("counter", to, "add", { name });
    },
    later: (actor, { timer, afterMs, name }) => {
      actor.schedule(timer, { afterMs }, "quiet", { name });
    },
    forget: (actor, { timer }) => {
      actor.cancel(timer);
    },
  },
});

/** The counters of the world that a test has: told something, and what they have written down. */
export function countersOf(world: () => ActorWorld) {
  const seen = async (key: string): Promise<readonly string[]> =>
    (await world().state<CounterState>("counter", key))?.seen ?? [];
  return {
    tell: (key: string, type: string, body: unknown, id?: string) =>
      world().tell("counter", key, type, body, id),
    seen,
    seenWhen: (key: string, count: number) =>
      waitUntil(
        async () => {
          const names = await seen(key);
          return names.length >= count && names;
        },
        { what: `${key} to have seen ${count}` },
      ),
  };
}
