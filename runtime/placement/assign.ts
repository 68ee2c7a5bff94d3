/**
 * The pure decision partition -> host: rendezvous hashing with a bound, moving as little as it can.
 * Source: Thaler, Ravishankar: highest random weight hashing; Mirrokni, Thorup, Zadimoghaddam: bounded loads.
 */
import { fnv1a, PARTITIONS } from "#contracts/ids.ts";

export interface Member {
  readonly instance: string;
  /** Share of the partitions relative to others; 0 takes none and gives up what it has (draining). */
  readonly weight: number;
  /** False: it lives and keeps what it has, but is given nothing while it has not been heard for long enough. */
  readonly steady: boolean;
}

/** Final mix of MurmurHash3, so that FNV's close inputs do not give close scores. */
function score(partition: number, instance: string): number {
  let h = fnv1a(`${partition}/${instance}`);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Who may be given partitions: steady members, or all where none is steady. */
export function takers(members: readonly Member[]): Member[] {
  const weighty = members.filter((m) => m.weight > 0);
  const steady = weighty.filter((m) => m.steady);
  return (steady.length > 0 ? steady : weighty).sort((a, b) => (a.instance < b.instance ? -1 : 1));
}

/** How many of the partitions each taker should hold: proportional to weight, summing to all of them. */
export function shares(members: readonly Member[], partitions = PARTITIONS): Map<string, number> {
  const taking = takers(members);
  const total = taking.reduce((sum, m) => sum + m.weight, 0);
  const result = new Map<string, number>();
  let given = 0;
  let cumulative = 0;
  for (const member of taking) {
    cumulative += member.weight;
    const upTo = Math.round((cumulative / total) * partitions);
    result.set(member.instance, upTo - given);
    given = upTo;
  }
  return result;
}

/**
 * The next owners. Partitions of hosts that are gone (or take none) move at once; for balance at most `moves` more, the
 * busiest first: each of them relieves its owner the most.
 * @param owners current owner of each partition, undefined where there is none
 * @param load how busy a partition is, in any unit
 */
export function assign(
  owners: readonly (string | undefined)[],
  members: readonly Member[],
  moves: number,
  load: (partition: number) => number = () => 0,
): (string | undefined)[] {
  const taking = takers(members).map((m) => m.instance);
  if (taking.length === 0) return [...owners];
  const alive = new Set(members.filter((m) => m.weight > 0).map((m) => m.instance));
  const next = owners.map((owner) => (owner !== undefined && alive.has(owner) ? owner : undefined));
  const held = new Map([...alive].map((instance) => [instance, 0]));
  for (const owner of next) if (owner !== undefined) held.set(owner, (held.get(owner) ?? 0) + 1);
  // What members keep that are given nothing is not there to be shared.
  const kept = [...alive].reduce((sum, i) => sum + (taking.includes(i) ? 0 : (held.get(i) ?? 0)), 0);
  const share = shares(members, owners.length - kept);
  const room = (instance: string): number => (share.get(instance) ?? 0) - (held.get(instance) ?? 0);
  const place = (partition: number): void => {
    const candidates = taking.filter((i) => room(i) > 0);
    const best = (candidates.length > 0 ? candidates : taking).reduce((a, b) =>
      score(partition, a) >= score(partition, b) ? a : b,
    );
    next[partition] = best;
    held.set(best, (held.get(best) ?? 0) + 1);
  };
  const busiest = [...next.keys()].sort((a, b) => load(b) - load(a) || a - b);
  for (const p of busiest) if (next[p] === undefined) place(p);
  let left = moves;
  for (const p of busiest) {
    if (left === 0 || !taking.some((i) => room(i) > 0)) break;
    const owner = next[p] as string;
    if (!share.has(owner) || room(owner) >= 0) continue;
    held.set(owner, (held.get(owner) ?? 0) - 1);
    place(p);
    left--;
  }
  return next;
}
