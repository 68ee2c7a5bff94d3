/**
 * What is heard of one job, as one answer. Events may be lost, repeated, or come from a worker that was given up; what
 * reaches the caller is a prefix of one attempt's text and, at the end, all of it - or a failure.
 */
import type { ReplyEvent } from "#contracts/chat.ts";
import type { JetclawError } from "#contracts/errors.ts";
import type { JobResult } from "#contracts/job.ts";
import { failureOfResult, OpenAiRefusal } from "./errors.ts";

export class CompletionAnswer {
  /** Resolves with the whole answer; its text continues what `onText` got. */
  readonly result: Promise<JobResult>;
  readonly #onText: ((text: string) => void) | undefined;
  #settle: { resolve(result: JobResult): void; reject(error: unknown): void } = { resolve() {}, reject() {} };
  #settled = false;
  #ended = false;
  #said = "";
  #attempt = 0;
  #next = 1;
  #gap = false;

  constructor(onText: ((text: string) => void) | undefined) {
    this.#onText = onText;
    this.result = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    // Its waiter may come later than a failure.
    this.result.catch(() => {});
  }

  /** The job is over: there is nothing left to cancel. */
  get ended(): boolean {
    return this.#ended;
  }

  offer(event: ReplyEvent): void {
    if (this.#settled) return;
    if (event.type === "result") return this.#end(event.result);
    if (event.attempt < this.#attempt) return;
    if (event.attempt > this.#attempt && !this.#begin(event.attempt)) return;
    if (event.type !== "delta" || event.number < this.#next) return;
    // What was lost on the way is in the result: nothing more is said until then.
    this.#gap ||= event.number > this.#next;
    if (this.#gap) return;
    this.#next++;
    this.#say(event.text ?? "");
  }

  fail(error: unknown): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#settle.reject(error);
  }

  /** False when the caller has words of an earlier attempt: two answers are never glued together. */
  #begin(attempt: number): boolean {
    this.#attempt = attempt;
    this.#next = 1;
    this.#gap = false;
    if (this.#said === "") return true;
    this.fail(brokenOff());
    return false;
  }

  #end(result: JobResult): void {
    if (result.finish === "failed" || result.finish === "stopped") {
      if (result.attempt > 0 && result.attempt < this.#attempt) return;
      this.#ended = true;
      return this.fail(this.#said === "" ? failureOfResult(result) : brokenOff(result));
    }
    // A worker that was taken for dead may still answer; for a stream only the text that goes on counts.
    if (!result.text.startsWith(this.#said)) {
      if (result.attempt < this.#attempt) return;
      this.#ended = true;
      return this.fail(brokenOff());
    }
    this.#say(result.text.slice(this.#said.length));
    this.#ended = true;
    this.#settled = true;
    this.#settle.resolve(result);
  }

  #say(text: string): void {
    if (!this.#onText || text === "") return;
    this.#said += text;
    this.#onText(text);
  }
}

function brokenOff(result?: JobResult): JetclawError {
  if (result?.error?.code === "turn.deadline") return failureOfResult(result);
  return new OpenAiRefusal("The answer broke off and is not complete; ask again.", {
    as: "turn.failed",
    code: "stream_interrupted",
  });
}
