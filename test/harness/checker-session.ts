// What the checker knows of one session, and what it concludes from it when the history has ended.
import type { ViolationKind } from "./checker.ts";
import type { Delivered } from "./history.ts";

interface Operation {
  readonly text: string;
  /** How many messages of the session were acknowledged before this one was first published. */
  readonly after: number;
  acked: boolean;
}

export interface Session {
  /** `tenant/session` */
  readonly name: string;
  readonly operations: Map<string, Operation>;
  /** Message ids in the order of their acknowledgements. */
  readonly acks: string[];
  /** By turn the distinct delivery ids, each with its first record. */
  readonly turns: Map<number, Map<string, Delivered>>;
  /** Highest revision of the state that was seen, and the turns that it had closed. */
  revision: number;
  closed: number;
  /** Effects that a state promised, with the first revision that did. */
  readonly promised: Map<string, number>;
}

interface Surroundings {
  /** Which turn of which session each delivery id belongs to. */
  readonly owners: Map<string, string>;
  /** Every effect that reached its subject. */
  readonly effects: ReadonlySet<string>;
  readonly report: (kind: ViolationKind, where: string, detail: string) => void;
}

export function newSession(name: string): Session {
  return {
    name,
    operations: new Map(),
    acks: [],
    turns: new Map(),
    revision: 0,
    closed: 0,
    promised: new Map(),
  };
}

export function concludeSession(session: Session, around: Surroundings): void {
  const { name } = session;
  for (const [turn, deliveries] of session.turns) checkDeliveries(name, turn, [...deliveries.keys()], around);
  const places = placeMessages(session, around);
  checkTurns(session, around);
  for (const [id, { acked }] of session.operations)
    if (acked && !places.has(id))
      around.report("lost", name, `message ${id} was acknowledged and is in no turn`);
  checkOrder(session, places, around);
  for (const [id, revision] of session.promised)
    if (!around.effects.has(id))
      around.report("effectMissing", name, `effect ${id}, promised by revision ${revision}, never appeared`);
}

function checkDeliveries(
  name: string,
  turn: number,
  ids: readonly string[],
  { owners, report }: Surroundings,
): void {
  if (ids.length > 1) report("deliveredTwice", name, `turn ${turn} has the delivery ids ${ids.join(", ")}`);
  for (const id of ids) {
    const owner = owners.get(id);
    if (owner) report("deliveredTwice", name, `delivery id ${id} of turn ${turn} also belongs to ${owner}`);
    owners.set(id, `${name} turn ${turn}`);
  }
}

/** Where each message stands in the session's turns, counted through; reports what is there twice or was never sent. */
function placeMessages({ name, turns, operations }: Session, { report }: Surroundings): Map<string, number> {
  const places = new Map<string, number>();
  let place = 0;
  for (const turn of [...turns.keys()].sort((a, b) => a - b))
    for (const [n, { messages, outcome }] of [...(turns.get(turn)?.values() ?? [])].entries()) {
      if (messages.length === 0 && outcome !== "said")
        report("invented", name, `turn ${turn} answers nothing`);
      for (const { id, text } of messages) {
        const sent = operations.get(id);
        if (!sent) report("invented", name, `turn ${turn} answers message ${id}, which nobody sent`);
        else if (sent.text !== text)
          report("invented", name, `turn ${turn} has another text for message ${id}`);
        // A second delivery of the same turn repeats its messages; that is reported as what it is.
        if (!places.has(id)) places.set(id, place++);
        else if (n === 0) report("doubled", name, `message ${id} is in turn ${turn} again`);
      }
    }
  return places;
}

function checkTurns({ name, turns, revision, closed }: Session, { report }: Surroundings): void {
  const last = Math.max(0, ...turns.keys());
  for (let turn = 1; turn <= Math.max(last, closed); turn++) {
    if (turns.has(turn)) continue;
    if (turn <= closed)
      report("undelivered", name, `turn ${turn} was committed and never reached the channel`);
    else report("gap", name, `turn ${turn} is missing before ${last}`);
  }
  for (const turn of turns.keys()) if (turn < 1) report("gap", name, `there is a turn ${turn}`);
  // Where no state was followed there is nothing to compare with.
  if (revision > 0 && last > closed)
    report("chain", name, `turn ${last} reached the channel, the state has closed ${closed}`);
}

/** Whatever was acknowledged before a message was first sent stands before it. */
function checkOrder(
  { name, acks, operations }: Session,
  places: ReadonlyMap<string, number>,
  { report }: Surroundings,
): void {
  let furthest = -1;
  const furthestAfter = [furthest];
  for (const id of acks) {
    furthest = Math.max(furthest, places.get(id) ?? -1);
    furthestAfter.push(furthest);
  }
  for (const [id, { after }] of operations) {
    const place = places.get(id);
    if (place !== undefined && place < (furthestAfter[after] ?? -1))
      report("reordered", name, `message ${id} stands before one that was acknowledged before it was sent`);
  }
}
