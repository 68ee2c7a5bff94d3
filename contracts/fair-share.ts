/**
 * Which lane a tenant's next job takes, by backlog: lane 0 while the tenant has not much more unfinished than others,
 * lane 1 beyond that. Whoever floods demotes itself, by as much as it exceeds the others and not by its size alone; a
 * tenant that is alone has nobody to stand behind. Pure. Whoever gives lanes counts its own jobs: the ratio of two
 * counts is the same for a part of the jobs as for all of them.
 */
import type { Lane } from "./subjects.ts";

/** A tenant may have this many times the mean backlog of the others. */
const TIMES_MEAN = 4;
/** So many jobs are no flood, whatever others have: people of one tenant who write in the same moment. */
const LEAST_JOBS = 8;

export interface Backlog {
  /** Unfinished jobs of the tenant. */
  readonly own: number;
  /** Unfinished jobs of all tenants. */
  readonly all: number;
  /** Tenants that have any. */
  readonly tenants: number;
}

/** @param fixed jobs that keep lane 0 whatever others have, where somebody configured it */
export function fairLane({ own, all, tenants }: Backlog, fixed?: number): Lane {
  if (fixed !== undefined) return own < fixed ? 0 : 1;
  const others = tenants - (own > 0 ? 1 : 0);
  if (others === 0) return 0;
  return own < Math.max(LEAST_JOBS, (TIMES_MEAN * (all - own)) / others) ? 0 : 1;
}
