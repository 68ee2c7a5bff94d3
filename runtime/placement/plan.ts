/**
 * The next document, out of this one and who lives. Pure. A partition without a living owner is moved at once; what
 * moves for balance or a drain is announced, and its owner hands it over when it has finished what it holds.
 */
import { PARTITIONS } from "#contracts/ids.ts";
import { assign, type Member } from "./assign.ts";
import { type Assignment, announced, moved } from "./document.ts";

/** Moves for balance under way at once. */
export const MOVES_A_ROUND = 8;

export interface Plan {
  readonly partitions: readonly Assignment[];
  /** Somebody waits: a partition has no living owner, or its owner does not hand over what was announced. */
  readonly urgent: boolean;
}

export interface PlanInput {
  readonly partitions: readonly Assignment[];
  readonly members: readonly Member[];
  readonly load: (partition: number) => number;
  /** How many partitions a member says that it holds; undefined where it was not heard. */
  readonly held: (instance: string) => number | undefined;
  /** The document has rested for long: announced moves are not made, or what was given is not taken, by who lives. */
  readonly overdue: boolean;
}

/** Undefined when nothing is to change. */
export function planNext({ partitions, members, load, held, overdue }: PlanInput): Plan | undefined {
  const alive = new Set(members.map((m) => m.instance));
  const pending = partitions.filter(({ owner, next }) => next !== undefined && next !== owner);
  // Where announced moves will have led is what the next ones build on.
  const owners = partitions.map(({ owner, next }) =>
    owner !== undefined && alive.has(owner) ? (next ?? owner) : undefined,
  );
  // Whoever has not taken yet what it was given is given no more: it may be a newcomer that cannot keep up, and what is
  // handed over to it is nobody's meanwhile.
  const taking = !overdue && members.some(({ instance }) => isTaking(partitions, instance, held(instance)));
  const target = assign(owners, members, pending.length > 0 || taking ? 0 : MOVES_A_ROUND, load);
  let urgent = false;
  let changed = false;
  const planned = partitions.map((current, p): Assignment => {
    const wanted = target[p];
    const orphaned = current.owner === undefined || !alive.has(current.owner);
    if (orphaned || (overdue && current.next !== undefined && wanted !== current.owner)) {
      if (wanted === undefined || wanted === current.owner) return current;
      urgent = true;
      changed = true;
      return moved(current, wanted);
    }
    const next = wanted === current.owner ? undefined : wanted;
    if (next === current.next) return current;
    changed = true;
    return announced(current, next);
  });
  return changed ? { partitions: planned, urgent } : undefined;
}

const isTaking = (partitions: readonly Assignment[], instance: string, held = PARTITIONS): boolean =>
  held < partitions.filter(({ owner }) => owner === instance).length;
