/**
 * The next document, out of this one and who lives. Pure. A partition without a living owner is moved at once; what
 * moves for balance or a drain is announced, and its owner hands it over when it has finished what it holds.
 */
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
  /** Announced moves are overdue: their owners live, yet do not hand over. */
  readonly overdue: boolean;
}

/** Undefined when nothing is to change. */
export function planNext({ partitions, members, load, overdue }: PlanInput): Plan | undefined {
  const alive = new Set(members.map((m) => m.instance));
  const pending = partitions.filter(({ owner, next }) => next !== undefined && next !== owner);
  // Where announced moves will have led is what the next ones build on.
  const owners = partitions.map(({ owner, next }) =>
    owner !== undefined && alive.has(owner) ? (next ?? owner) : undefined,
  );
  const target = assign(owners, members, pending.length > 0 ? 0 : MOVES_A_ROUND, load);
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
