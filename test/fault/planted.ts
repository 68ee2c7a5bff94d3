// Violations put into what an observer saw, for rows whose protection is not ours to switch off: a judgement that does
// not find them proves nothing.
import type { Fault } from "#test/harness/figures.ts";
import type { HistoryEvent } from "#test/harness/history.ts";

/** One acknowledged message is in no turn: its turn's record never came, and neither did the state that closed it. */
export function loseOne(events: readonly HistoryEvent[]): HistoryEvent[] {
  const middle = Math.floor(events.length / 2);
  const victim = events.slice(middle).find((event) => event.type === "record");
  return events.filter(
    (event) => !(event.type === "record" && victim?.type === "record" && event.delivery === victim.delivery),
  );
}

/** After each fault nothing is answered for so long. */
export function stall(events: readonly HistoryEvent[], faults: readonly Fault[], ms: number): HistoryEvent[] {
  return events.map((event) => {
    if (event.type !== "record") return event;
    const fault = faults.find(({ at }) => event.at >= at && event.at < at + ms);
    return fault ? { ...event, at: fault.at + ms } : event;
  });
}

/** One turn reached the channel under a second delivery id. */
export function deliverTwice(events: readonly HistoryEvent[]): HistoryEvent[] {
  const victim = events.find((event) => event.type === "record");
  return victim?.type === "record"
    ? [...events, { ...victim, delivery: `${victim.delivery}-again` }]
    : [...events];
}
