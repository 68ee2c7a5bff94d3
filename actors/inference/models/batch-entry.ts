/** One request on its way through a batch: it has a signal, an answer and an end of its own, whatever happens to the others. */
import type { Job } from "#contracts/job.ts";
import type { Usage } from "#contracts/usage.ts";
import type { Waiting } from "../batcher.ts";
import { failureOf, ModelFailure } from "../failure.ts";
import type { BatchShare, ModelAnswer, ModelRun } from "../port.ts";
import { AnswerReader, estimateUsage } from "./openai-answer.ts";

/** What the batch as a whole is told about. */
export interface EntryOwner {
  /** The entry needs its place no longer; `aborted`: its caller went away before it had an answer. */
  onSettled(entry: Entry, aborted: boolean): void;
}

/** Once its answer is complete, an entry waits this long for the provider's count of its tokens. */
const USAGE_WAIT_MS = 1_000;

export class Entry implements Waiting {
  readonly job: Job;
  readonly attempt: number;
  readonly arrivedAt: number;
  readonly tokens: number;
  readonly deadline: number;
  /** Changed when a refused batch is split. */
  group: string;
  /** The batch it travels in; known when it leaves the queue. */
  share: BatchShare = { size: 0, waitMs: 0, trace: undefined };
  readonly answer: Promise<ModelAnswer>;
  readonly #reader: AnswerReader;
  readonly #owner: EntryOwner;
  readonly #signal: AbortSignal;
  #resolve: (answer: ModelAnswer) => void = () => {};
  #reject: (reason: unknown) => void = () => {};
  #settled = false;
  #spoke = false;
  #text = "";
  #usage: Usage | undefined;
  #usageTimer: NodeJS.Timeout | undefined;

  constructor(job: Job, run: ModelRun, group: string, now: number, owner: EntryOwner) {
    this.job = job;
    this.attempt = run.attempt;
    this.arrivedAt = now;
    this.deadline = run.until ?? job.deadline;
    this.group = group;
    this.tokens = estimateUsage(job, "").inputTokens;
    this.#owner = owner;
    this.#signal = run.signal;
    this.#reader = new AnswerReader({
      ...run,
      onText: (text) => {
        this.#text += text;
        run.onText(text);
      },
    });
    this.answer = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    run.signal.addEventListener("abort", this.#onAbort, { once: true });
  }

  get open(): boolean {
    return !this.#settled;
  }

  /** Its answer is complete; at most the count of its tokens is missing. */
  get finished(): boolean {
    return this.#reader.finished;
  }

  /** What it used where that is known, else an estimate. */
  get usage(): Usage {
    return this.#usage ?? estimateUsage(this.job, this.#text);
  }

  /** Takes a piece of its answer; what is malformed ends this entry alone. */
  feed(content: unknown, reason: unknown, usage: unknown): void {
    if (this.#settled || this.#reader.finished) return;
    try {
      if (typeof content !== "string" && content !== undefined && content !== null)
        throw new ModelFailure("failed", "an answer in the batch is no text");
      const chunk = {
        choices: [{ delta: { content: this.#trimmed(content) }, finish_reason: reason }],
        usage,
      };
      this.#reader.read(chunk as unknown as Parameters<AnswerReader["read"]>[0]);
    } catch (error) {
      return this.fail(error);
    }
    if (!this.#reader.finished) return;
    if (usage) this.finish();
    else this.#usageTimer = setTimeout(() => this.finish(), USAGE_WAIT_MS);
  }

  /** Settles with what came. Without a usage its own count holds, or an estimate. */
  finish(usage?: Usage): void {
    if (this.#settled) return;
    try {
      const answer = this.#reader.answer(this.job, usage);
      this.#usage = answer.usage;
      this.#resolve({ ...answer, batch: this.share });
    } catch (error) {
      return this.fail(error);
    }
    this.#settle(false);
  }

  fail(error: unknown): void {
    if (this.#settled) return;
    this.#reject(failureOf(error));
    this.#settle(false);
  }

  /** A completed prompt begins with the space after the role's colon; nobody wants to read it. */
  #trimmed(content: string | null | undefined): string | null | undefined {
    if (!content || this.#spoke) return content;
    const trimmed = content.trimStart();
    this.#spoke = trimmed !== "";
    return trimmed;
  }

  readonly #onAbort = (): void => {
    if (this.#settled) return;
    this.#reject(this.#signal.reason);
    this.#settle(true);
  };

  #settle(aborted: boolean): void {
    this.#settled = true;
    clearTimeout(this.#usageTimer);
    this.#signal.removeEventListener("abort", this.#onAbort);
    this.#owner.onSettled(this, aborted);
  }
}
