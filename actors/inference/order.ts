/**
 * Which lane a worker asks next. Pure: a set of lanes that may hold something, free slots and the count of permits
 * given so far go in, one ask comes out. Strict order by class and lane, except that one permit in sixteen belongs to
 * the lowest class, so that `deferred` never starves.
 */
import { CLASSES, type Lane, type PriorityClass } from "#contracts/subjects.ts";

/** A set of lanes: bit 0 is ongoing-0, bit 1 ongoing-1, ... bit 5 deferred-1. */
export type LaneSet = number;

export const NO_LANES: LaneSet = 0;
export const ALL_LANES: LaneSet = (1 << (CLASSES.length * 2)) - 1;
/** Every so many permits one goes to the lowest class that may hold something. */
export const AGEING_EVERY = 16;

export interface Ask {
  readonly cls: PriorityClass;
  readonly lane: Lane;
  /** The lane as a set of one. */
  readonly bit: LaneSet;
  /** Most jobs to take: never more than the free slots. */
  readonly batch: number;
}

export function laneBit(cls: PriorityClass, lane: Lane): LaneSet {
  return 1 << (CLASSES.indexOf(cls) * 2 + lane);
}

/**
 * Lanes that nearly all jobs come through. The others hold what is beyond a tenant's share or can wait: their bells may
 * ring for one worker alone.
 */
export const HOT_PLACES = CLASSES.map((cls) => ({
  cls,
  lane: 0 as const,
  bit: laneBit(cls, 0),
}));
export const HOT_LANES: LaneSet = HOT_PLACES.reduce((set, { bit }) => set | bit, NO_LANES);

/** Bits below it are the lanes of `ongoing`. */
const FIRST_NOT_ONGOING = 2;
export const ONGOING_LANES: LaneSet = (1 << FIRST_NOT_ONGOING) - 1;

/** Undefined when nothing can or needs to be asked. `reserved` slots are given to ongoing jobs only. */
export function nextAsk(marked: LaneSet, free: number, permits: number, reserved = 0): Ask | undefined {
  if (free <= 0 || marked === NO_LANES) return undefined;
  const first = lowestBit(marked);
  if (first >= FIRST_NOT_ONGOING && free <= reserved) return undefined;
  const lowestClass = Math.floor((31 - Math.clz32(marked)) / 2);
  const phase = permits % AGEING_EVERY;
  const most = first >= FIRST_NOT_ONGOING ? free - reserved : free;
  if (Math.floor(first / 2) === lowestClass) return ask(first, most);
  if (phase < AGEING_EVERY - 1) return ask(first, Math.min(most, AGEING_EVERY - 1 - phase));
  // Inside the class the aged permits take turns, so that its second lane moves too.
  const preferred = lowestClass * 2 + (Math.floor(permits / AGEING_EVERY) % 2);
  return ask(marked & (1 << preferred) ? preferred : preferred ^ 1, 1);
}

function ask(index: number, batch: number): Ask {
  return {
    cls: CLASSES[index >> 1] as PriorityClass,
    lane: (index & 1) as Lane,
    bit: 1 << index,
    batch,
  };
}

/** How many lanes are in a set. */
export function bitsOf(set: LaneSet): number {
  let count = 0;
  for (let left = set; left !== 0; left &= left - 1) count++;
  return count;
}

function lowestBit(set: LaneSet): number {
  return 31 - Math.clz32(set & -set);
}
