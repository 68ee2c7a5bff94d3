/**
 * A model whose requests travel in batches. It is a `Model` like any other: each caller has its own signal, text and
 * answer, and sees the others only in how long it waited. When a batch leaves is decided in `batcher.ts`; what is sent in
 * `batch-request.ts`.
 */
import { type Job, needsChatApi } from "#contracts/job.ts";
import type { Usage } from "#contracts/usage.ts";
import type { Clock } from "#runtime/clock.ts";
import { batchRequestAttributes, batchResponseAttributes } from "#runtime/observe/genai.ts";
import { metrics } from "#runtime/observe/metrics.ts";
import { type Span, SpanKind, startSpan } from "#runtime/observe/trace.ts";
import { type BatchLimits, nextBatch } from "../batcher.ts";
import { failureOf, ModelFailure } from "../failure.ts";
import type { Model, ModelAnswer, ModelRun } from "../port.ts";
import { Entry } from "./batch-entry.ts";
import { type BatchMode, batchGroupOf, type SendBatch } from "./batch-request.ts";
import { remainderOf, shareUsage } from "./batch-usage.ts";
import { estimateUsage } from "./openai-answer.ts";
import { modelError } from "./openai-errors.ts";
import { Patience, type Timeouts } from "./patience.ts";
import { ProviderRefusal } from "./provider.ts";

export interface BatchingOptions {
  readonly name: string;
  readonly mode: BatchMode;
  readonly limits: BatchLimits;
  readonly send: SendBatch;
  /** Serves what a batch cannot carry: tools, and options of a caller's own. */
  readonly single: Model;
  readonly clock: Clock;
  readonly timeouts?: Timeouts | undefined;
}

/** The request as such is refused: one of the batch is not valid, and the server does not say which. */
const REFUSED = new Set([400, 413, 422]);

interface Batch {
  readonly entries: readonly Entry[];
  readonly controller: AbortController;
  readonly patience: Patience;
  open: number;
  aborted: boolean;
}

export class BatchingModel implements Model {
  readonly name: string;
  readonly provider = "openai";
  readonly estimate = estimateUsage;
  readonly #options: BatchingOptions;
  readonly #waiting = new Set<Entry>();
  readonly #batchOf = new Map<Entry, Batch>();
  /** Jobs whose batch met an error inside the server: one of them may have caused it, so each goes alone next time. */
  readonly #alone = new WeakSet<Job>();
  #inFlight = 0;
  #groups = 0;
  #soon: NodeJS.Immediate | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: BatchingOptions) {
    this.name = options.name;
    this.#options = options;
  }

  async run(job: Job, run: ModelRun): Promise<ModelAnswer> {
    run.signal.throwIfAborted();
    if (needsChatApi(job)) return this.#options.single.run(job, run);
    const group = this.#alone.has(job) ? this.#newGroup("alone") : batchGroupOf(job);
    const entry = new Entry(job, run, group, this.#options.clock.now(), this);
    this.#waiting.add(entry);
    this.#schedule();
    return entry.answer;
  }

  onSettled(entry: Entry, aborted: boolean): void {
    this.#waiting.delete(entry);
    const batch = this.#batchOf.get(entry);
    if (!batch) return;
    this.#batchOf.delete(entry);
    batch.open--;
    batch.aborted ||= aborted;
    // Nobody listens any more, and what an aborted one asked for is still being made.
    if (batch.open === 0 && batch.aborted) batch.controller.abort();
  }

  /** Not at once: jobs that were pulled together arrive within one turn of the event loop. */
  #schedule(): void {
    this.#soon ??= setImmediate(() => {
      this.#soon = undefined;
      this.#resume();
    });
  }

  /** Every "may a batch leave?" is answered here. */
  #resume(): void {
    clearTimeout(this.#timer);
    const { limits, clock } = this.#options;
    for (;;) {
      const { go, lookAgainAt } = nextBatch([...this.#waiting], this.#inFlight, limits, clock.now());
      if (go.length > 0) {
        void this.#run(go);
        continue;
      }
      if (lookAgainAt !== undefined)
        this.#timer = setTimeout(() => this.#resume(), Math.max(1, lookAgainAt - clock.now()));
      return;
    }
  }

  async #run(entries: readonly Entry[]): Promise<void> {
    this.#inFlight++;
    const batch = this.#begin(entries);
    const span = this.#startSpan(entries);
    let failed: unknown;
    try {
      batch.patience.arm(this.#options.mode === "chat-batch" ? "whole" : "first");
      const { signal } = batch.patience;
      const total = await this.#options.send({
        entries,
        signal,
        onProgress: () => batch.patience.arm(batch.open > 0 ? "between" : "finished"),
      });
      settle(entries, total);
      if (total) span.set(batchResponseAttributes(total));
    } catch (error) {
      if (batch.open > 0) failed = modelError(reasonOf(batch, error));
      this.#onFailure(batch, error);
    } finally {
      batch.patience.end();
      span.end(failed);
      this.#inFlight--;
      this.#schedule();
    }
  }

  #begin(entries: readonly Entry[]): Batch {
    const now = this.#options.clock.now();
    const controller = new AbortController();
    const batch: Batch = {
      entries,
      controller,
      // As long as the one with most time left allows; the others end by their own signals.
      patience: new Patience(
        controller.signal,
        Math.max(...entries.map(({ deadline }) => deadline)) - now,
        this.#options.timeouts,
      ),
      open: entries.length,
      aborted: false,
    };
    for (const entry of entries) {
      this.#waiting.delete(entry);
      this.#batchOf.set(entry, batch);
      entry.share = { ...entry.share, size: entries.length, waitMs: now - entry.arrivedAt };
      metrics.batchWaitMs(now - entry.arrivedAt, { model: this.name });
    }
    metrics.batchSize(entries.length, { model: this.name });
    return batch;
  }

  #onFailure(batch: Batch, thrown: unknown): void {
    const open = batch.entries.filter((entry) => entry.open);
    const status = thrown instanceof ProviderRefusal ? thrown.status : undefined;
    if (status !== undefined && REFUSED.has(status) && open.length > 1) return this.#split(open);
    const failed = failureOf(modelError(reasonOf(batch, thrown)));
    const { detail = "", restMs } = failed;
    // Inside a stream: what others have heard of their answers by then cannot be sent again in halves.
    const oneRefused = failed.reason === "refused" && open.length > 1;
    const reason = oneRefused ? "failed" : failed.reason;
    if (oneRefused || (status === 500 && open.length > 1)) for (const { job } of open) this.#alone.add(job);
    let { uncounted } = failed;
    for (const entry of open) {
      if (entry.finished) {
        entry.finish();
        continue;
      }
      const failure = new ModelFailure(reason, detail, restMs);
      failure.uncounted = uncounted;
      uncounted = true;
      entry.fail(failure);
    }
  }

  /** Two halves, each a group of its own, back into the queue: the pump sends them when there is room. */
  #split(open: readonly Entry[]): void {
    const middle = Math.ceil(open.length / 2);
    for (const half of [open.slice(0, middle), open.slice(middle)]) {
      const group = this.#newGroup("half");
      for (const entry of half) {
        entry.group = group;
        this.#batchOf.delete(entry);
        this.#waiting.add(entry);
      }
    }
  }

  #newGroup(why: string): string {
    return `${why} ${++this.#groups}`;
  }

  #startSpan(entries: readonly Entry[]): Span {
    const traces = entries.map(
      ({ job }) => job.trace && { ...job.trace, tracestate: job.trace.tracestate ?? undefined },
    );
    const [only] = traces;
    const span = startSpan(`batch ${this.name}`, {
      kind: SpanKind.CLIENT,
      // Alone it is part of its request's trace; several cannot share one parent, so they are linked.
      ...(entries.length === 1 && only
        ? { parent: only }
        : { links: traces.map((trace) => trace ?? undefined) }),
      attributes: batchRequestAttributes({
        provider: this.provider,
        model: this.name,
        requests: entries.length,
      }),
    });
    for (const entry of entries) entry.share = { ...entry.share, trace: span.context?.traceparent };
    return span;
  }
}

/** What ended our patience says more than how the request ended. */
const reasonOf = ({ patience: { signal } }: Batch, thrown: unknown): unknown =>
  signal.reason instanceof ModelFailure ? signal.reason : thrown;

/** After a whole response: what is complete gets its share of the count, what is not has failed. */
function settle(entries: readonly Entry[], total: Usage | undefined): void {
  const complete = entries.filter(({ open, finished }) => open && finished);
  const usages = (of: readonly Entry[]): Usage[] => of.map(({ usage }) => usage);
  const rest = total && remainderOf(total, usages(entries.filter((entry) => !complete.includes(entry))));
  const shares = rest && shareUsage(rest, usages(complete));
  for (const [n, entry] of complete.entries()) entry.finish(shares?.[n]);
  for (const entry of entries)
    entry.fail(new ModelFailure("failed", "the stream ended before the answer did"));
}
