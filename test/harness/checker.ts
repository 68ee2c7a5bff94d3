// The history checker: one pass over the events, then one over each session. Pure, so that it can be tested by planting
// what it has to find. The invariants are numbered as in the list of faults:
//   I1 an acknowledged message is processed          I5 nothing appears that was never sent
//   I2 turns are contiguous, states chain            I6 nothing crosses tenants or sessions
//   I3 a message commits exactly one turn, in order  I7 everything drains
//   I4 a turn reaches the channel under exactly one delivery id, and every promised effect exists
import { concludeSession, newSession, type Session } from "./checker-session.ts";
import {
  type Asked,
  type Committed,
  type Delivered,
  type HistoryEvent,
  markersIn,
  nameOf,
  type SessionRef,
} from "./history.ts";

/** What can be found, and the invariant that it breaks. */
export const KINDS = {
  empty: "I1",
  lost: "I1",
  gap: "I2",
  chain: "I2",
  doubled: "I3",
  reordered: "I3",
  undelivered: "I4",
  deliveredTwice: "I4",
  effectMissing: "I4",
  invented: "I5",
  leaked: "I6",
  undrained: "I7",
} as const;
export type ViolationKind = keyof typeof KINDS;

export interface Violation {
  readonly kind: ViolationKind;
  readonly invariant: (typeof KINDS)[ViolationKind];
  /** `tenant/session`, or the queue. */
  readonly where: string;
  readonly detail: string;
}

export interface Verdict {
  readonly violations: readonly Violation[];
  readonly counts: Readonly<Record<ViolationKind, number>>;
}

export function checkHistory(history: Iterable<HistoryEvent>): Verdict {
  const check = new Check();
  for (const event of history) check.see(event);
  return check.conclude();
}

class Check {
  readonly #sessions = new Map<string, Session>();
  readonly #effects = new Set<string>();
  readonly #violations: Violation[] = [];
  #acknowledged = 0;
  #settled = false;

  readonly #report = (kind: ViolationKind, where: string, detail: string): void => {
    this.#violations.push({ kind, invariant: KINDS[kind], where, detail });
  };

  #session(ref: SessionRef): Session {
    const name = nameOf(ref);
    const known = this.#sessions.get(name);
    if (known) return known;
    const session = newSession(name);
    this.#sessions.set(name, session);
    return session;
  }

  see(event: HistoryEvent): void {
    switch (event.type) {
      case "invoke": {
        const { operations, acks } = this.#session(event);
        // A repeat after an unknown outcome is the same operation: the first attempt may be the one that was stored.
        if (!operations.has(event.message))
          operations.set(event.message, { text: event.text, after: acks.length, acked: false });
        break;
      }
      case "ok":
        this.#acknowledge(this.#session(event), event.message);
        break;
      case "commit":
        this.#commit(this.#session(event), event);
        break;
      case "effect":
        this.#effects.add(event.id);
        break;
      case "record":
        this.#record(this.#session(event), event);
        break;
      case "job":
        this.#findLeaks(event, event.shown, "a model was shown");
        break;
      case "settled":
        this.#settled = true;
        for (const [queue, left] of Object.entries(event.queues))
          if (left > 0) this.#report("undrained", queue, `${left} messages are left`);
        break;
      case "fail":
      case "unknown":
      case "result":
      case "billed":
        break;
    }
  }

  #acknowledge(session: Session, message: string): void {
    const operation = session.operations.get(message);
    if (!operation || operation.acked) return;
    operation.acked = true;
    session.acks.push(message);
    this.#acknowledged++;
  }

  #commit(session: Session, { revision, closed, effects }: Committed): void {
    const { name } = session;
    if (revision <= session.revision)
      this.#report("chain", name, `revision ${revision} came after ${session.revision}`);
    if (closed < session.closed)
      this.#report(
        "chain",
        name,
        `revision ${revision} has closed ${closed} turns, an earlier one ${session.closed}`,
      );
    session.revision = Math.max(revision, session.revision);
    session.closed = Math.max(closed, session.closed);
    for (const id of effects) if (!session.promised.has(id)) session.promised.set(id, revision);
  }

  #record(session: Session, record: Delivered): void {
    const deliveries = session.turns.get(record.turn) ?? new Map<string, Delivered>();
    session.turns.set(record.turn, deliveries);
    if (!deliveries.has(record.delivery)) deliveries.set(record.delivery, record);
    this.#findLeaks(
      record,
      `${record.reply}\n${record.messages.map((m) => m.text).join("\n")}`,
      `turn ${record.turn} shows`,
    );
  }

  #findLeaks(to: Asked | Delivered, text: string, what: string): void {
    for (const marker of markersIn(text))
      if (marker.tenant !== to.tenant || marker.session !== to.session)
        this.#report("leaked", nameOf(to), `${what} message ${marker.message} of ${nameOf(marker)}`);
  }

  conclude(): Verdict {
    // A run in which nothing worked proves nothing, whatever else holds.
    if (this.#acknowledged === 0) this.#report("empty", "run", "no operation succeeded");
    if (!this.#settled) this.#report("undrained", "run", "nobody looked whether the queues are empty");
    const owners = new Map<string, string>();
    for (const session of this.#sessions.values())
      concludeSession(session, { owners, effects: this.#effects, report: this.#report });
    const counts = Object.fromEntries(Object.keys(KINDS).map((kind) => [kind, 0])) as Record<
      ViolationKind,
      number
    >;
    for (const { kind } of this.#violations) counts[kind]++;
    return { violations: this.#violations, counts };
  }
}
