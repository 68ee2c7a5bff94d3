/**
 * That a run which replaces vectors of another model under the same name has not come to its end: until one does, those of
 * both stand side by side, and a question finds those of its own model alone. Noted before the first of them is replaced.
 */
import { decode, encode } from "#contracts/codec.ts";
import { BUCKETS, unfinishedKey } from "#contracts/subjects.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { Kv } from "#runtime/nats/kv.ts";

export interface Unfinished {
  /** When it began, ms since the epoch. */
  readonly since: number;
  /** It embeds texts whose vectors are as long as the model's too: only another such run tells them apart. */
  readonly embedAll: boolean;
}

/** Undefined where every run has come to its end; one that still runs has not. @throws JetclawError `nats.unavailable` */
export async function unfinishedOf(bus: Bus, space: string): Promise<Unfinished | undefined> {
  const { value } = await new Kv(bus, BUCKETS.placement).getFromLeader(unfinishedKey(space));
  return value && decode<Unfinished>(value);
}

/** @throws JetclawError `nats.unavailable` */
export async function noteBegin(bus: Bus, space: string, run: Unfinished): Promise<void> {
  const before = await unfinishedOf(bus, space);
  const embedAll = run.embedAll || (before?.embedAll ?? false);
  await new Kv(bus, BUCKETS.placement).put(unfinishedKey(space), encode({ ...run, embedAll }));
}

/** @throws JetclawError `nats.unavailable` */
export async function noteEnd(bus: Bus, space: string, run: Pick<Unfinished, "embedAll">): Promise<void> {
  const before = await unfinishedOf(bus, space);
  if (before && (run.embedAll || !before.embedAll))
    await new Kv(bus, BUCKETS.placement).drop(unfinishedKey(space));
}

/** For people: what to do about it. */
export const nextOf = ({ embedAll }: Unfinished): string =>
  `Unless it still runs, run it again: jetclaw kb reindex${embedAll ? " --embed-all" : ""}. Until then documents that it has made anew are missed by their meaning.`;
