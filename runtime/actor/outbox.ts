/** Publishing effects after the commit that carries them: at least once, under stable ids, until acknowledged. */
import type { Bus } from "../nats/connect.ts";
import { purge } from "../nats/reader.ts";
import { killPoint } from "../observe/kill-point.ts";
import type { StoredEffect } from "./record.ts";
import { retrying } from "./retrying.ts";

/**
 * Publishes all effects. Effects on different subjects go out together; the order on one subject is kept. A purge
 * waits for all before it and all after it wait for the purge: it must remove what came before and nothing else.
 * Resolves when each is acknowledged; retries until the signal aborts. `stored` hears each effect's place by its id.
 */
export async function publishOutbox(
  bus: Bus,
  effects: readonly StoredEffect[],
  signal: AbortSignal,
  stored?: ReadonlyMap<string, (seq: number) => void>,
): Promise<void> {
  let waits: Promise<unknown>[] = [];
  const last = new Map<string, Promise<unknown>>();
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
      await retrying(bus.log, signal, "purge", () => purge(bus, effect.stream as string, effect.subject));
      continue;
    }
    const before = last.get(effect.subject);
    const publish = (): Promise<unknown> =>
      retrying(bus.log, signal, "publish an effect", () => publishEffect(bus, effect, stored));
    const wait = before ? before.then(publish) : publish();
    last.set(effect.subject, wait);
    waits.push(wait);
  }
  await (waits.length === 1 ? waits[0] : Promise.all(waits));
}

async function publishEffect(
  bus: Bus,
  effect: StoredEffect,
  stored: ReadonlyMap<string, (seq: number) => void> | undefined,
): Promise<void> {
  const { seq } = await bus.append(effect.subject, effect.data as Uint8Array, {
    id: effect.id,
    ...(effect.k === "schedule"
      ? { schedule: { at: effect.at as number, target: effect.target as string } }
      : {}),
  });
  stored?.get(effect.id)?.(seq);
}
