/** Which messages are still to be handled, and what handling them takes out of the record. Pure. */
import { LIMITS } from "#contracts/limits.ts";
import type { ActorKind } from "./define.ts";
import type { Delivery } from "./mailbox.ts";
import { type ActorRecord, type NextRecord, ProcessedIds, type Tried } from "./record.ts";

/** `repeat`: processed before, a waiting caller is told. `over`: nobody waits for it any more. */
export type Verdict = "fresh" | "repeat" | "over";

/**
 * A redriven message is handled exactly while its id stands among the given-up ones: handling it takes it out, so of two
 * redrives one is handled, and one of a message that was processed all the same is not.
 */
export function verdictOf(record: ActorRecord, { envelope, seq }: Delivery, ignoreRing = false): Verdict {
  if (seq <= record.floor) return "over";
  if (envelope.redriven !== undefined) return record.givenUp.includes(envelope.id) ? "fresh" : "repeat";
  if (record.processed.has(envelope.id) && !ignoreRing) return "repeat";
  const { timer } = envelope;
  return !timer || record.timers[timer.name] === timer.generation ? "fresh" : "over";
}

/** How a message was begun by owners that did not finish it. */
export function attemptsOf(
  attempts: ActorRecord["attempts"],
  { envelope: { id } }: Delivery,
): readonly Tried[] {
  // Ids come from outside: one of them may be called `constructor`.
  return Object.hasOwn(attempts, id) ? (attempts[id] as readonly Tried[]) : [];
}

/**
 * How many processes may have died of a message. Each dies once: who begun it again after a loss of its partition or of
 * NATS is counted once, and whoever asks is alive. Attempts of the first version of the record name no host.
 */
export function deathsOf(tried: readonly Tried[], own: string): number {
  const unnamed = tried.filter(({ host }) => host === "").length;
  const named = new Set(tried.map(({ host }) => host));
  named.delete("");
  named.delete(own);
  return unnamed + named.size;
}

/** The handler cannot process these messages; the cause says why. */
export class HandlerFailed extends Error {
  readonly tried: readonly Tried[];

  constructor(cause: unknown, tried: readonly Tried[] = []) {
    super("handler failed", { cause });
    this.tried = tried;
  }
}

/** What a handler asked to be forgotten. */
export interface Forgetting {
  readonly forgotUpTo: string | undefined;
  /** Of ids processed before; undefined: as many as fit. */
  readonly keepsIds: number | undefined;
}

/** What the record remembers of messages that were handled or given up. */
export function recordAfter(
  record: ActorRecord,
  deliveries: readonly Delivery[],
  { kind, draft, givesUp }: { kind: ActorKind; draft: Forgetting; givesUp: boolean },
): Partial<NextRecord> {
  const { forgotUpTo, keepsIds } = draft;
  const cut =
    forgotUpTo === undefined ? -1 : deliveries.findIndex(({ envelope }) => envelope.id === forgotUpTo);
  const newlyProcessed: string[] = [];
  for (const { envelope } of cut < 0 ? deliveries : deliveries.slice(cut))
    if (kind.remembers(envelope.type)) newlyProcessed.push(envelope.id);
  const { seq } = deliveries[deliveries.length - 1] as Delivery;
  if (cut < 0)
    return {
      newlyProcessed,
      seq,
      ...(keepsIds === undefined ? {} : { processed: record.processed.last(keepsIds) }),
      attempts: attemptsAfter(record.attempts, deliveries),
      givenUp: givenUpAfter(record.givenUp, deliveries, givesUp),
    };
  const floor = (deliveries[cut] as Delivery).seq;
  return { newlyProcessed, seq, processed: new ProcessedIds(), attempts: {}, givenUp: [], floor };
}

/** The attempts without those of finished messages. */
export function attemptsAfter(
  attempts: ActorRecord["attempts"],
  finished: readonly Delivery[],
): ActorRecord["attempts"] {
  let left = attempts;
  for (const { envelope } of finished)
    if (Object.hasOwn(left, envelope.id)) left = without(left, envelope.id);
  return left;
}

/** The given-up ids without those that were handled after all, and with those given up now. */
export function givenUpAfter(
  before: readonly string[],
  finished: readonly Delivery[],
  givesUp: boolean,
): readonly string[] {
  if (!givesUp && before.length === 0) return before;
  const ids = finished.map(({ envelope }) => envelope.id);
  const left = before.filter((id) => !ids.includes(id));
  return givesUp ? [...left, ...ids].slice(-LIMITS.givenUpIds) : left;
}

/**
 * The pending timers without those that fired. A handler may have scheduled the same timer anew: only the generation
 * that fired is over.
 */
export function timersAfter(
  timers: Record<string, number>,
  handled: readonly Delivery[],
): Record<string, number> {
  let left = timers;
  for (const { envelope } of handled)
    if (envelope.timer && left[envelope.timer.name] === envelope.timer.generation)
      left = without(left, envelope.timer.name);
  return left;
}

function without<T>(record: Readonly<Record<string, T>>, key: string): Record<string, T> {
  const { [key]: _, ...rest } = record;
  return rest;
}
