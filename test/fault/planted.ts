// Violations put into what an observer saw, for rows whose protection is not ours to switch off: a judgement that does
// not find them proves nothing.
import type { HistoryEvent } from "#test/harness/history.ts";

/** One acknowledged message is in no turn: its turn's record never came, and neither did the state that closed it. */
export function loseOne(events: readonly HistoryEvent[]): HistoryEvent[] {
  const middle = Math.floor(events.length / 2);
  const victim = events.slice(middle).find((event) => event.type === "record");
  return events.filter(
    (event) => !(event.type === "record" && victim?.type === "record" && event.delivery === victim.delivery),
  );
}
