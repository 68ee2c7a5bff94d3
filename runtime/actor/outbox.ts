/** Publishing effects after the commit that carries them: at least once, under stable ids, until acknowledged. */
import type { Bus } from "../nats/connect.ts";
import { lastMessage, purgeBefore } from "../nats/reader.ts";
import { killPoint } from "../observe/kill-point.ts";
import type { StoredEffect } from "./record.ts";
import { retrying } from "./retrying.ts";

export interface Publishing {
  readonly signal: AbortSignal;
  /** Fails when this host may have lost the actor since its commit. */
  readonly stillOwner: () => Promise<void>;
  /** Hear each effect's place by its id. */
  readonly stored?: ReadonlyMap<string, (seq: number) => void>;
}

/**
 * Publishes all effects. Effects on different subjects go out together; the order on one subject is kept. A purge
 * waits for all before it and all after it wait for the purge: it must remove what came before and nothing else.
 * Receivers drop a repeat by its id, however late it comes. A schedule has no such receiver: from a host that stood
 * still it would take the place of the one that the next owner set, so the ownership behind it is made sure of.
 * Resolves when each is acknowledged; retries until the signal aborts.
 */
export async function publishOutbox(
  bus: Bus,
  effects: readonly StoredEffect[],
  { signal, stillOwner, stored }: Publishing,
): Promise<void> {
  let waits: Promise<unknown>[] = [];
  const last = new Map<string, Promise<unknown>>();
  /** Where the effects before a purge came to lie. */
  const placed = new Map<string, number>();
  for (const [n, effect] of effects.entries()) {
    if (n > 0) {
      const paused = killPoint("host.midOutbox");
      if (paused) await paused;
    }
    if (effect.k === "emit") {
      bus.publish(effect.subject, effect.data as Uint8Array);
      continue;
    }
    if (effect.k === "purge") {
      await Promise.all(waits);
      waits = [];
      last.clear();
      await retrying(bus.log, signal, "purge", () => purgeEffect(bus, effect, placed));
      continue;
    }
    const before = last.get(effect.subject);
    const publish = (): Promise<unknown> =>
      retrying(bus.log, signal, "publish an effect", () =>
        effect.k === "schedule"
          ? stillOwner().then(() => publishEffect(bus, effect, placed, stored))
          : publishEffect(bus, effect, placed, stored),
      );
    const wait = before ? before.then(publish) : publish();
    last.set(effect.subject, wait);
    waits.push(wait);
  }
  await (waits.length === 1 ? waits[0] : Promise.all(waits));
}

async function publishEffect(
  bus: Bus,
  effect: StoredEffect,
  placed: Map<string, number>,
  stored: ReadonlyMap<string, (seq: number) => void> | undefined,
): Promise<void> {
  const { seq } = await bus.append(effect.subject, effect.data as Uint8Array, {
    id: effect.id,
    ...(effect.k === "schedule"
      ? { schedule: { at: effect.at as number, target: effect.target as string } }
      : {}),
  });
  placed.set(effect.subject, seq);
  stored?.get(effect.id)?.(seq);
}

/** Says of each purge what lies there now: a host that is frozen before it purges must not take what comes after. */
export async function boundPurges(
  bus: Bus,
  effects: readonly StoredEffect[],
  signal: AbortSignal,
): Promise<void> {
  const bound = async (effect: StoredEffect): Promise<void> => {
    const newest = await retrying(bus.log, signal, "look at what is to be purged", () =>
      lastMessage(bus, effect.stream as string, effect.subject),
    );
    effect.before = (newest?.seq ?? 0) + 1;
  };
  await Promise.all(effects.filter(({ k }) => k === "purge").map(bound));
}

async function purgeEffect(
  bus: Bus,
  { stream, subject, before }: StoredEffect,
  placed: ReadonlyMap<string, number>,
): Promise<void> {
  const own = [...placed].flatMap(([at, seq]) => (covers(subject, at) ? [seq + 1] : []));
  const end = Math.max(before as number, ...own);
  if (end > 1) await purgeBefore(bus, stream as string, subject, end);
}

/** Whether a subject matches a filter, tokens, `*` and `>`. */
function covers(filter: string, subject: string): boolean {
  const tokens = subject.split(".");
  const wanted = filter.split(".");
  const matches = (token: string, n: number): boolean => token === "*" || token === tokens[n];
  if (wanted.at(-1) === ">") return tokens.length >= wanted.length && wanted.slice(0, -1).every(matches);
  return wanted.length === tokens.length && wanted.every(matches);
}
