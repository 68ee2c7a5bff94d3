/**
 * The interchangeable models of a pool: which one serves a job, and where the job goes when that one fails before its
 * first token. After the first token nothing is tried again here: two answers must never be glued together.
 */
import type { JetclawError } from "#contracts/errors.ts";
import { asJetclawError } from "#contracts/errors.ts";
import type { Job } from "#contracts/job.ts";
import type { Clock } from "#runtime/clock.ts";
import type { PooledModel } from "./models/registry.ts";
import type { ModelAnswer, ModelRun } from "./port.ts";

/** Failures in a row after which a model is passed over for a while. */
const UNHEALTHY_AFTER = 3;
const UNHEALTHY_MS = 5_000;
/** Wait before the one retry, with jitter, where the provider names no time itself. */
const RETRY_MS = 250;

interface Member extends PooledModel {
  running: number;
  failures: number;
  unhealthyUntil: number;
}

export interface PoolHooks {
  /** A model was asked; the last one named is the one that answered or failed last. */
  onTry(model: PooledModel): void;
  onFailure(model: PooledModel, error: JetclawError): void;
}

export class ModelPool {
  readonly #members: readonly Member[];
  readonly #clock: Clock;

  constructor(models: readonly PooledModel[], clock: Clock) {
    this.#members = models.map((each) => ({ ...each, running: 0, failures: 0, unhealthyUntil: 0 }));
    this.#clock = clock;
  }

  /** Requests that all models together take at once from one worker. */
  get concurrency(): number {
    return this.#members.reduce((sum, { concurrency }) => sum + concurrency, 0);
  }

  /** Best first: the job's own model, then the pool's order; those without room or health go last, but they stay. */
  candidates(job: Pick<Job, "model">): readonly PooledModel[] {
    return this.#order(job);
  }

  /**
   * Answers a job with the first model that can; after all failed the best one is asked once more.
   * @throws the last model's JetclawError, or the signal's reason
   */
  async run(job: Job, run: ModelRun, hooks: PoolHooks): Promise<ModelAnswer> {
    let spoke = false;
    const heard: ModelRun = {
      signal: run.signal,
      attempt: run.attempt,
      onText(text) {
        spoke ||= text !== "";
        run.onText(text);
      },
    };
    const members = this.#order(job);
    const [best] = members;
    let last: JetclawError | undefined;
    for (const member of best ? [...members, best] : []) {
      if (last && member === best && !(await this.#pause(last, job, run.signal))) break;
      hooks.onTry(member);
      try {
        return await this.#ask(member, job, heard);
      } catch (error) {
        run.signal.throwIfAborted();
        last = asJetclawError(error);
        hooks.onFailure(member, last);
        if (spoke || last.code !== "model.unavailable") break;
      }
    }
    throw last ?? new Error("a pool without models");
  }

  #order(job: Pick<Job, "model">): Member[] {
    const now = this.#clock.now();
    const cost = (m: Member): number =>
      (m.unhealthyUntil > now ? 4 : 0) +
      (m.running >= m.concurrency ? 2 : 0) +
      (job.model && m.model.name !== job.model ? 1 : 0);
    // The sort is stable: among equals the pool's own order holds.
    return [...this.#members].sort((a, b) => cost(a) - cost(b));
  }

  async #ask(member: Member, job: Job, run: ModelRun): Promise<ModelAnswer> {
    member.running++;
    try {
      const answer = await member.model.run(job, run);
      member.failures = 0;
      member.unhealthyUntil = 0;
      return answer;
    } catch (error) {
      // A stop or a rejected request says nothing about the model's health.
      if (!run.signal.aborted && asJetclawError(error).code === "model.unavailable") {
        member.failures++;
        if (member.failures >= UNHEALTHY_AFTER) member.unhealthyUntil = this.#clock.now() + UNHEALTHY_MS;
      }
      throw error;
    } finally {
      member.running--;
    }
  }

  /** False when a retry would come too late for the job. */
  async #pause(last: JetclawError, job: Job, signal: AbortSignal): Promise<boolean> {
    const named = last.retryAfterSeconds === undefined ? 0 : last.retryAfterSeconds * 1_000;
    const waitMs = Math.max(named, RETRY_MS * (0.5 + this.#clock.random()));
    // Half of what is left must remain for the retry itself.
    if (waitMs > (job.deadline - this.#clock.now()) / 2) return false;
    await this.#clock.sleep(waitMs, signal);
    return true;
  }
}
