/**
 * The unfinished jobs of each tenant, from which `contracts/fair-share.ts` tells the lane of the next one. Each host counts
 * the jobs that it committed; what it cannot know (results that went to another host after a takeover) is forgotten at
 * the job's deadline.
 */
import { fairLane } from "#contracts/fair-share.ts";
import type { Lane } from "#contracts/subjects.ts";

/** Jobs remembered at once; what is beyond them is not counted. */
const MOST = 65_536;
/** A job that was given a lane is committed within this time or not at all. */
const COMMIT_MS = 5_000;

interface Entry {
  readonly tenant: string;
  readonly until: number;
}

export class Lanes {
  readonly #share: () => number | undefined;
  readonly #counts = new Map<string, number>();
  /** Jobs that were given a lane and are not known to be committed. In order of time, as are the committed ones. */
  readonly #reserved = new Map<string, Entry>();
  readonly #committed = new Map<string, Entry>();

  /** @param share unfinished jobs of one tenant that keep lane 0 on this host, now; undefined: by the others' backlog */
  constructor(share: () => number | undefined = () => undefined) {
    this.#share = share;
  }

  /** Jobs remembered. */
  get size(): number {
    return this.#reserved.size + this.#committed.size;
  }

  unfinished(tenant: string): number {
    return this.#counts.get(tenant) ?? 0;
  }

  laneOf(tenant: string, now: number): Lane {
    this.#forget(now);
    const backlog = { own: this.unfinished(tenant), all: this.size, tenants: this.#counts.size };
    return fairLane(backlog, this.#share());
  }

  /** Counts a job from the moment it has a lane, so that many at once do not all find room. */
  reserve(job: string, tenant: string, now: number): void {
    this.finished(job);
    if (this.size >= MOST) return;
    this.#reserved.set(job, { tenant, until: now + COMMIT_MS });
    this.#counts.set(tenant, this.unfinished(tenant) + 1);
  }

  /** The job is stored; it counts until its result or its deadline. */
  committed(job: string, deadline: number): void {
    const entry = this.#reserved.get(job);
    if (!entry) return;
    this.#reserved.delete(job);
    this.#committed.set(job, { tenant: entry.tenant, until: deadline });
  }

  /** Harmless for a job that is not known. */
  finished(job: string): void {
    for (const jobs of [this.#reserved, this.#committed]) {
      const entry = jobs.get(job);
      if (entry && jobs.delete(job)) this.#release(entry.tenant);
    }
  }

  /** All turns have the same patience, so the first in order are the first to expire. */
  #forget(now: number): void {
    for (const jobs of [this.#reserved, this.#committed])
      for (const [job, { tenant, until }] of jobs) {
        if (until > now) break;
        jobs.delete(job);
        this.#release(tenant);
      }
  }

  #release(tenant: string): void {
    const left = this.unfinished(tenant) - 1;
    if (left > 0) this.#counts.set(tenant, left);
    else this.#counts.delete(tenant);
  }
}

/** A host's part of a tenant's share. */
export const shareOf = (tenantShare: number, hosts: number): number =>
  Math.max(1, Math.floor(tenantShare / Math.max(1, hosts)));
