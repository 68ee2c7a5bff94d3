/**
 * Closes jobs that nobody answered: past their deadline, or with no worker alive. One active by lease. It reads the
 * oldest job of each class and lane from the leader and takes only what is overdue; no timer a turn is needed.
 */
import type { ReplyEvent } from "#contracts/chat.ts";
import { decode, encode } from "#contracts/codec.ts";
import { JOB_VERSION, type Job, type JobResult } from "#contracts/job.ts";
import { CLASSES, inferLaneFilter, inferOfflineFilter, inferStream, type Lane } from "#contracts/subjects.ts";
import { resultMessage } from "#contracts/turn.ts";
import { NO_USAGE } from "#contracts/usage.ts";
import type { Clock } from "#runtime/clock.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { sendToActor } from "#runtime/nats/inbound.ts";
import { nextMessage, remove } from "#runtime/nats/reader.ts";
import type { Log } from "#runtime/observe/log.ts";
import { metrics } from "#runtime/observe/metrics.ts";
import { FailureStreak } from "#runtime/observe/streak.ts";
import { Lease } from "#runtime/placement/lease.ts";

const LEASE_KEY = "lease.reaper";
const LEASE_MS = 6_000;
const ROUND_MS = 1_000;
/** Workers close overdue jobs themselves; the reaper leaves them this long. */
const GRACE_MS = 2_000;

export interface ReaperOptions {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly instance: string;
  readonly pools: readonly string[];
  /** Those of them whose jobs may wait for a provider's batches. */
  readonly offlinePools?: readonly string[] | undefined;
}

export class Reaper {
  readonly #options: ReaperOptions;
  readonly #lease: Lease;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #stopped = false;

  constructor(options: ReaperOptions) {
    this.#options = options;
    const { bus, clock, instance: owner } = options;
    this.#lease = new Lease({ bus, clock, owner, key: LEASE_KEY, leaseMs: LEASE_MS });
  }

  start(): void {
    const streak = new FailureStreak(this.#options.log, "reaper: round");
    this.#timer = setInterval(() => {
      this.#running ??= this.#round()
        .then(
          () => streak.ended(),
          (err) => {
            if (!this.#options.bus.endsTogether) streak.failed(err);
          },
        )
        .finally(() => {
          this.#running = undefined;
        });
    }, ROUND_MS);
  }

  /** Ends a round where it is: after an outage thousands of jobs are overdue, and whoever drains has no time for them. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    await this.#running;
    await this.#lease
      .release()
      .catch((err) => this.#options.log.debug({ err }, "reaper: lease not given back"));
  }

  async #round(): Promise<void> {
    // Two at once do no harm: an actor takes the result of a job once, by its id.
    if (!(await this.#lease.hold())) return;
    for (const pool of this.#options.pools)
      for (const cls of CLASSES)
        for (const lane of [0, 1] as const) await this.#sweep(pool, inferLaneFilter(pool, cls, lane as Lane));
    for (const pool of this.#options.offlinePools ?? []) await this.#sweep(pool, inferOfflineFilter(pool));
  }

  async #sweep(pool: string, filter: string): Promise<void> {
    const stream = inferStream(pool);
    // After an outage a round may take longer than a lease.
    while (!this.#stopped && (await this.#lease.hold())) {
      const oldest = await nextMessage(this.#options.bus, stream, filter);
      if (!oldest) return;
      const job = readJob(oldest.data);
      if (!job || job.deadline + GRACE_MS > this.#options.clock.now()) return;
      await this.#close(job);
      await remove(this.#options.bus, stream, oldest.seq);
      metrics.reaped({ pool });
      this.#options.log.warn({ pool, job: job.id }, "job closed past its deadline");
    }
  }

  /** Whoever asked gets a failed result, an actor under the id that a worker would have used: only one of them counts. */
  async #close(job: Job): Promise<void> {
    const { bus, clock, instance } = this.#options;
    const result: JobResult = {
      job: job.id,
      turn: job.turn,
      step: job.step,
      attempt: 0,
      finish: "failed",
      text: "",
      citations: [],
      model: "",
      chunks: 0,
      usage: NO_USAGE,
      error: { code: "turn.deadline", detail: "no worker answered in time" },
      timings: { queuedMs: clock.now() - job.at, firstTokenMs: 0, totalMs: 0 },
      worker: `reaper ${instance}`,
    };
    if (job.replyTo) return bus.publish(job.replyTo, encode({ type: "result", result } satisfies ReplyEvent));
    const trace = job.trace ? { trace: { traceparent: job.trace.traceparent } } : {};
    await sendToActor(bus, { ...resultMessage(job, result, clock.now()), ...trace });
  }
}

/** Undefined for what is no job of a known version: the workers make a dead letter of it. */
function readJob(data: Uint8Array): Job | undefined {
  try {
    const job = decode<Job>(data);
    return job.v === JOB_VERSION ? job : undefined;
  } catch {
    return undefined;
  }
}
