/**
 * One model as a worker knows it: how many requests run on it, how many may, whether its breaker lets another one
 * through, and what the last ones were like. Shared by every pool of the worker that can use the model.
 */
import { isStreamed, type Job } from "#contracts/job.ts";
import type { ModelHealth } from "#contracts/load.ts";
import type { Price } from "#contracts/usage.ts";
import { admit, type Breaker, CLOSED, callOff, fail, readyAt, succeed } from "#runtime/breaker.ts";
import type { Clock } from "#runtime/clock.ts";
import { failureOf, isCongestion, isFault, ModelFailure } from "./failure.ts";
import { allowed, decrease, fullLimit, increase, type Limit } from "./limit.ts";
import type { PooledModel } from "./models/registry.ts";
import type { Model, ModelAnswer, ModelRun } from "./port.ts";
import { type Sample, Stats } from "./stats.ts";

/** While a half-open breaker waits for its probe, others look again after this. */
const PROBE_MS = 200;
/** A median costs a sort; between two jobs it hardly changes. */
const LEAST_AGE_MS = 1_000;
/** Who had this long and did not end before the deadline is too slow; who had less may have been asked too late. */
const FAIR_MS = 10_000;
const CHARS_PER_TOKEN = 4;

export class Member implements PooledModel {
  readonly model: Model;
  readonly price: Price | undefined;
  readonly concurrency: number;
  readonly offline: PooledModel["offline"];
  /** Called when the breaker changes its state. */
  onChange: () => void = () => {};
  /** Called when a request begins. */
  onBegin: () => void = () => {};
  readonly #clock: Clock;
  readonly #stats = new Stats();
  #breaker: Breaker = CLOSED;
  #limit: Limit;
  #least = { at: 0, firstTokenMs: 0, wholeMs: 0 };
  #running = 0;
  /** Requests begun or ended so far: says whether anything happened. */
  #moves = 0;

  constructor({ model, price, concurrency, offline }: PooledModel, clock: Clock) {
    this.model = model;
    this.price = price;
    this.concurrency = concurrency;
    this.offline = offline;
    this.#clock = clock;
    this.#limit = fullLimit(concurrency);
  }

  get running(): number {
    return this.#running;
  }

  get limit(): number {
    return allowed(this.#limit);
  }

  get breaker(): Breaker["state"] {
    return this.#breaker.state;
  }

  get moves(): number {
    return this.#moves;
  }

  get full(): boolean {
    return this.#running >= this.limit;
  }

  /** When it is worth asking: 0 for now. */
  readyAt(now: number): number {
    const rested = this.model.readyAt?.() ?? 0;
    const healed = readyAt(this.#breaker);
    const asked = this.#breaker.state === "half-open" ? Math.min(healed, now + PROBE_MS) : healed;
    const at = Math.max(rested, asked);
    return at > now ? at : 0;
  }

  /**
   * Time that a try needs at least to be worth its price, as far as is known: until its first token, or until its whole,
   * of which one may be a word and the next one a book.
   */
  leastMs(now: number, job: Job): number {
    if (now - this.#least.at > LEAST_AGE_MS) {
      const { firstTokenMs } = this.#stats.figures(now);
      this.#least = { at: now, firstTokenMs, wholeMs: this.#stats.leastWholeMs(now) };
    }
    return isStreamed(job) ? this.#least.firstTokenMs : this.#least.wholeMs;
  }

  /**
   * One request. Call it only when `readyAt` says now.
   * @throws ModelFailure; the signal's reason
   */
  async ask(job: Job, run: ModelRun): Promise<ModelAnswer> {
    const startedAt = this.#clock.now();
    const admitted = admit(this.#breaker, startedAt);
    if (!admitted) throw failureOf(new Error("asked while its breaker was open"));
    this.#turn(admitted);
    const { era } = admitted;
    const heard = { chars: 0, firstTokenMs: 0 };
    const onText = (text: string): void => {
      if (text !== "" && heard.chars === 0) heard.firstTokenMs = Math.max(1, this.#clock.now() - startedAt);
      heard.chars += text.length;
      run.onText(text);
    };
    this.#running++;
    this.#moves++;
    this.onBegin();
    try {
      const answer = await this.model.run(job, { ...run, onText });
      this.#turn(succeed(this.#breaker, era));
      this.#limit = increase(this.#limit, this.#running);
      const outputTokens = answer.usage.outputTokens || Math.ceil(answer.text.length / CHARS_PER_TOKEN);
      this.#note(job, startedAt, { failed: false, firstTokenMs: heard.firstTokenMs, outputTokens });
      return answer;
    } catch (error) {
      const now = this.#clock.now();
      const stopped = run.signal.aborted && !ranOut(run.signal, now - startedAt);
      const failure = run.signal.aborted
        ? new ModelFailure("timeout", "ran into the deadline")
        : failureOf(error);
      const fault = !stopped && isFault(failure);
      this.#turn(
        fault ? fail(this.#breaker, era, now, this.#clock.random()) : callOff(this.#breaker, era, now),
      );
      if (!stopped && isCongestion(failure)) this.#limit = decrease(this.#limit, startedAt, now);
      const outputTokens = Math.ceil(heard.chars / CHARS_PER_TOKEN);
      if (fault) this.#note(job, startedAt, { failed: true, firstTokenMs: heard.firstTokenMs, outputTokens });
      if (run.signal.aborted) throw error;
      throw failure;
    } finally {
      this.#running--;
      this.#moves++;
    }
  }

  health(): Omit<ModelHealth, "pool" | "worker" | "lifetimeMs"> {
    const now = this.#clock.now();
    return {
      model: this.model.name,
      at: now,
      breaker: this.#breaker.state,
      inFlight: this.#running,
      limit: this.limit,
      ...this.#stats.figures(now),
    };
  }

  #note(job: Job, startedAt: number, sample: Pick<Sample, "failed" | "firstTokenMs" | "outputTokens">): void {
    const at = this.#clock.now();
    const totalMs = Math.max(1, at - startedAt);
    // A model that does not stream gives its first token with its last; an answer that was to be whole says nothing of it.
    const firstTokenMs = isStreamed(job) ? sample.firstTokenMs || totalMs : 0;
    this.#stats.add({ ...sample, firstTokenMs, at, totalMs });
  }

  #turn(next: Breaker): void {
    const changed = next.state !== this.#breaker.state;
    this.#breaker = next;
    if (changed) this.onChange();
  }
}

/** A drip that never falls silent ends with its job's deadline: that is the model's fault, a stop by a user is not. */
const ranOut = ({ reason }: AbortSignal, ranMs: number): boolean => reason === "deadline" && ranMs >= FAIR_MS;
