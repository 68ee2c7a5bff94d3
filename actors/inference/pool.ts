/**
 * Which model serves a job, and where the job goes when that one fails: to the next model of the pool, then along the
 * pool's fallback list, at once; only when nobody is left is there a wait, with jitter, inside the deadline. After the
 * first token the next model begins a new attempt under a restart: two answers are never glued together.
 */
import type { Job } from "#contracts/job.ts";
import type { Clock } from "#runtime/clock.ts";
import { failureOf, ModelFailure, mayGoOn } from "./failure.ts";
import { Member } from "./member.ts";
import type { PooledModel } from "./models/registry.ts";
import type { ModelAnswer, ModelRun } from "./port.ts";

/** Wait before everybody is asked once more; doubled each time. */
const RETRY_MS = 250;
/** Jobs that wait for the same model do not come back in the same millisecond. */
const SPREAD_MS = 50;
/** How often everybody is asked once more, and how often an answer begins anew. */
const ROUNDS = 4;
const RESTARTS = 3;
/** A try is not begun when less is left: it would be paid for and come too late. */
const LEAST_MS = 250;
/** A retry after a wait needs at least as much time as the wait took. */
const RETRY_SHARE = 0.5;
/** Whoever waits at the endpoint can read a Retry-After: a longer wait than this is theirs, not ours. */
const TOLD_MS = 1_000;

export interface PoolHooks {
  /** A model was asked; the last one named is the one that answered or failed last. */
  onTry(model: PooledModel): void;
  onFailure(model: PooledModel, error: ModelFailure): void;
  /** Nobody can be asked just now: until it is told otherwise the job only waits. */
  onWait(waits: boolean): void;
  /** What came so far is void: another answer begins. @returns the number of its attempt */
  onRestart(): number;
}

/** What a job has tried so far. */
interface Trial {
  readonly tried: Set<Member>;
  /** Not asked again by this job: wrong key, no such model. */
  readonly hopeless: Set<Member>;
  readonly until: number;
  last: ModelFailure | undefined;
  rounds: number;
}

export class ModelPool {
  readonly members: readonly Member[];
  readonly #fallback: readonly (readonly Member[])[];
  readonly #clock: Clock;

  /** @param fallback the models of each pool of the fallback list, in its order; members are shared, not copied */
  constructor(
    models: readonly PooledModel[],
    clock: Clock,
    fallback: readonly (readonly PooledModel[])[] = [],
  ) {
    const membersOf = (pool: readonly PooledModel[]): readonly Member[] =>
      pool.map((each) => (each instanceof Member ? each : new Member(each, clock)));
    this.members = membersOf(models);
    this.#fallback = fallback.map(membersOf);
    this.#clock = clock;
  }

  /** Requests that all models together take at once from one worker, as configured. */
  get concurrency(): number {
    return this.members.reduce((sum, { concurrency }) => sum + concurrency, 0);
  }

  /** Requests that can be run at once now: what the pool's own models let through, else its first usable fallback's. */
  get capacity(): number {
    const now = this.#clock.now();
    for (const pool of [this.members, ...this.#fallback]) {
      const usable = pool.reduce((sum, member) => sum + (member.readyAt(now) > now ? 0 : member.limit), 0);
      if (usable > 0) return usable;
    }
    return 1;
  }

  /** Best first: usable before resting, own before fallback, with room before full, the job's own model before others. */
  candidates(job: Pick<Job, "model">): readonly PooledModel[] {
    return this.#order(job);
  }

  /**
   * Answers a job with the first model that can.
   * @throws the last model's ModelFailure, or the signal's reason
   */
  async run(job: Job, run: ModelRun, hooks: PoolHooks): Promise<ModelAnswer> {
    const trial: Trial = {
      tried: new Set(),
      hopeless: new Set(),
      until: run.until ?? job.deadline,
      last: undefined,
      rounds: 0,
    };
    let { attempt } = run;
    let restarts = 0;
    let spoke = false;
    for (;;) {
      run.signal.throwIfAborted();
      // Without a wait nothing is awaited: the request leaves before whatever else its worker has to do.
      const member = this.#ready(job, trial).timely ?? (await this.#next(job, trial, run.signal, hooks));
      if (spoke) {
        if (++restarts > RESTARTS) throw lastOf(trial);
        attempt = hooks.onRestart();
        spoke = false;
      }
      trial.tried.add(member);
      hooks.onTry(member);
      // Who has failed is heard no more: its late words would stand in the next one's answer.
      let heard = true;
      const onText = (text: string): void => {
        if (!heard) return;
        spoke ||= text !== "";
        run.onText(text);
      };
      try {
        return await member.ask(job, { ...run, attempt, onText });
      } catch (error) {
        heard = false;
        run.signal.throwIfAborted();
        trial.last = failureOf(error);
        hooks.onFailure(member, trial.last);
        if (!mayGoOn(trial.last)) throw trial.last;
        if (trial.last.code === "model.rejected") trial.hopeless.add(member);
      }
    }
  }

  #ready(job: Job, trial: Trial): { readonly ready: readonly Member[]; readonly timely: Member | undefined } {
    const now = this.#clock.now();
    const ready = this.#order(job).filter(
      (each) => !trial.tried.has(each) && !trial.hopeless.has(each) && each.readyAt(now) <= now,
    );
    return {
      ready,
      timely: ready.find((each) => trial.until - now >= Math.max(LEAST_MS, each.leastMs(now, job))),
    };
  }

  /** Who is asked next, after a wait where one is needed. @throws what failed last when there is no time for anybody */
  async #next(job: Job, trial: Trial, signal: AbortSignal, { onWait }: PoolHooks): Promise<Member> {
    for (;;) {
      signal.throwIfAborted();
      const { ready, timely } = this.#ready(job, trial);
      if (timely) return timely;
      const now = this.#clock.now();
      const leftMs = trial.until - now;
      const waitMs = this.#waitOf(trial, now);
      if (ready.length > 0 || waitMs === undefined || waitMs > leftMs * RETRY_SHARE) throw lastOf(trial);
      if (job.replyTo && waitMs > TOLD_MS)
        throw trial.last ?? new ModelFailure("limited", "every model rests", waitMs);
      onWait(true);
      await this.#clock.sleep(waitMs, signal);
      onWait(false);
    }
  }

  /** Until somebody may be asked; a new round where everybody who could answer has failed. Undefined: never. */
  #waitOf(trial: Trial, now: number): number | undefined {
    const all = [...this.members, ...this.#fallback.flat()].filter((member) => !trial.hopeless.has(member));
    const restMs = (members: readonly Member[]): number =>
      Math.max(0, Math.min(...members.map((member) => member.readyAt(now))) - now);
    const untried = all.filter((member) => !trial.tried.has(member));
    const jitter = 0.5 + this.#clock.random();
    const backoffMs = RETRY_MS * 2 ** trial.rounds * jitter;
    // Somebody who rests may be back before a new round would begin.
    if (untried.length > 0 && (trial.tried.size === 0 || restMs(untried) <= backoffMs))
      return restMs(untried) + SPREAD_MS * jitter;
    if (all.length === 0 || trial.rounds >= ROUNDS) return undefined;
    trial.rounds++;
    trial.tried.clear();
    return Math.max(restMs(all) + SPREAD_MS * jitter, backoffMs);
  }

  #order(job: Pick<Job, "model">): Member[] {
    const now = this.#clock.now();
    const cost = (member: Member): number =>
      (member.readyAt(now) > now ? 4 : 0) +
      (member.full ? 2 : 0) +
      (job.model && member.model.name !== job.model ? 1 : 0);
    // The sort is stable: among equals the configured order holds.
    return [this.members, ...this.#fallback]
      .flatMap((pool) =>
        pool.map((member) => ({ member, rank: cost(member) })).sort((a, b) => a.rank - b.rank),
      )
      .map(({ member }) => member);
  }
}

const lastOf = ({ last }: Trial): ModelFailure =>
  last ?? new ModelFailure("timeout", "no model is available in the time that is left");
