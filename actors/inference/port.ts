/** What a model is to a worker, and what it answers. */
import type { Citation } from "#contracts/content.ts";
import type { Job } from "#contracts/job.ts";
import type { Usage } from "#contracts/usage.ts";

export interface ModelRun {
  /** Aborted by a stop, the deadline or a drain: the provider's request must end with it. */
  readonly signal: AbortSignal;
  /** Delivery count of the job. */
  readonly attempt: number;
  /** What to append to the answer, as it comes. */
  onText(text: string): void;
}

export interface ModelAnswer {
  /** The whole text; equal to everything that `onText` got. */
  readonly text: string;
  readonly citations: readonly Citation[];
  readonly usage: Usage;
  /** `length`: cut off by a limit. */
  readonly finish: "stop" | "length";
}

export interface Model {
  readonly name: string;
  /** For telemetry: `openai`, `kb-extract`, `echo`. */
  readonly provider: string;
  /**
   * Answers a job.
   * @throws JetclawError `model.unavailable` where another try may succeed, `model.rejected` where it will not;
   * the signal's reason when aborted
   */
  run(job: Job, run: ModelRun): Promise<ModelAnswer>;
  /** What an answer that was cut short has probably used; absent where nothing is paid. */
  estimate?(job: Job, text: string): Usage;
}
