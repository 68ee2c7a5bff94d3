/**
 * The pure decision partition -> host: rendezvous hashing with a bound, moving as little as it can.
 * Source: Thaler, Ravishankar: highest random weight hashing; Mirrokni, Thorup, Zadimoghaddam: bounded loads.
 */
import { fnv1a, PARTITIONS } from "#contracts/ids.ts";

export interface Member {
  readonly instance: string;
  /** Share of the partitions relative to others; 0 takes none (draining). */
  readonly weight: number;
}

/** Final mix of MurmurHash3, so that FNV's close inputs do not give close scores. */
function score(partition: number, instance: string): number {
  let h = fnv1a(`${partition}/${instance}`);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** How many partitions each member should hold: proportional to weight, summing to all partitions. */
export function shares(members: readonly Member[]): Map<string, number> {
  const taking = members.filter((m) => m.weight > 0).sort((a, b) => (a.instance < b.instance ? -1 : 1));
  const total = taking.reduce((sum, m) => sum + m.weight, 0);
  const result = new Map<string, number>();
  let given = 0;
  let cumulative = 0;
  for (const member of taking) {
    cumulative += member.weight;
    const upTo = Math.round((cumulative / total) * PARTITIONS);
    result.set(member.instance, upTo - given);
    given = upTo;
  }
  return result;
}

/**
 * The next owners. Partitions of hosts that are gone (or take none) move at once; for balance at most `moves` more.
 * @param owners current owner of each partition, undefined where there is none
 */
export function assign(
  owners: readonly (string | undefined)[],
  members: readonly Member[],
  moves: number,
): (string | undefined)[] {
  const share = shares(members);
  if (share.size === 0) return [...owners];
  const next = owners.map((owner) => (owner !== undefined && share.has(owner) ? owner : undefined));
  const load = new Map([...share.keys()].map((instance) => [instance, 0]));
  for (const owner of next) if (owner !== undefined) load.set(owner, (load.get(owner) ?? 0) + 1);
  const room = (instance: string): number => (share.get(instance) ?? 0) - (load.get(instance) ?? 0);
  const place = (partition: number): void => {
    const candidates = [...share.keys()].filter((i) => room(i) > 0);
    const best = (candidates.length > 0 ? candidates : [...share.keys()]).reduce((a, b) =>
      score(partition, a) >= score(partition, b) ? a : b,
    );
    next[partition] = best;
    load.set(best, (load.get(best) ?? 0) + 1);
  };
  for (let p = 0; p < next.length; p++) if (next[p] === undefined) place(p);
  let left = moves;
  for (let p = 0; p < next.length && left > 0; p++) {
    const owner = next[p] as string;
    if (room(owner) >= 0 || ![...share.keys()].some((i) => room(i) > 0)) continue;
    load.set(owner, (load.get(owner) ?? 0) - 1);
    place(p);
    left--;
  }
  return next;
}
