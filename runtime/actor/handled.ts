/** What handling a message takes out of the record: its fired timer and its count of attempts. Pure. */
import type { Delivery } from "./mailbox.ts";

/** How often a message was begun by an owner that did not finish it. */
export function attemptsOf(
  attempts: Readonly<Record<string, number>>,
  { envelope: { id } }: Delivery,
): number {
  // Ids come from outside: one of them may be called `constructor`.
  return Object.hasOwn(attempts, id) ? (attempts[id] as number) : 0;
}

/** The counts without those of finished messages. */
export function attemptsAfter(
  attempts: Readonly<Record<string, number>>,
  finished: readonly Delivery[],
): Readonly<Record<string, number>> {
  let left = attempts;
  for (const { envelope } of finished)
    if (Object.hasOwn(left, envelope.id)) left = without(left, envelope.id);
  return left;
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
