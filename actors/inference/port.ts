/** What a model is to a worker, and what it answers. */
import type { ToolCall } from "#contracts/chat.ts";
import type { Citation } from "#contracts/content.ts";
import type { Job } from "#contracts/job.ts";
import type { ModelHealth } from "#contracts/load.ts";
import type { Usage } from "#contracts/usage.ts";

export interface ModelRun {
  /** Aborted by a stop, the deadline or a drain: the provider's request must end with it. */
  readonly signal: AbortSignal;
  /** Number of the attempt: grows with every delivery of the job and every restart inside one. */
  readonly attempt: number;
  /** The answer must be whole by then, ms since the epoch; the job's deadline when left out. */
  readonly until?: number | undefined;
  /** What to append to the answer, as it comes. */
  onText(text: string): void;
  /** Told of what was used for an answer without a word, right before that is thrown: it is paid for like any other. */
  onSpent?: ((usage: Usage) => void) | undefined;
}

/** How a request travelled where several share one call. */
export interface BatchShare {
  /** Requests in the call. */
  readonly size: number;
  /** From its arrival to the moment the batch left. */
  readonly waitMs: number;
  /** The batch's own span, as a traceparent; undefined where none is recorded. */
  readonly trace: string | undefined;
}

export interface ModelAnswer {
  /** The whole text; equal to everything that `onText` got. */
  readonly text: string;
  readonly citations: readonly Citation[];
  /** Functions that the model wants to be called, whole; only where the job's `chat` names tools. */
  readonly toolCalls?: readonly ToolCall[] | undefined;
  /** Why the model does not answer in the shape that its caller wants; then there is no text. */
  readonly refusal?: string | undefined;
  readonly usage: Usage;
  /** `length`: cut off by a limit. */
  readonly finish: "stop" | "length";
  /** Where it was answered in a batch; its usage is then its share. */
  readonly batch?: BatchShare;
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
  /** From when on it is worth asking, ms since the epoch; earlier every endpoint of it rests. 0 or absent: now. */
  readyAt?(): number;
}

/** What all workers together see of a pool, or of one model of it. */
export interface PoolHealth {
  readonly workers: number;
  /** Of a model: what most workers see, in doubt the worse. Of a pool: that of its best model. */
  readonly breaker: ModelHealth["breaker"];
  readonly inFlight: number;
  /** Requests that all workers together would run at once now; nothing for models whose breaker is open. */
  readonly limit: number;
  /** Ms, weighted by the requests that each worker saw. */
  readonly firstTokenMs: number;
  readonly totalMs: number;
  readonly tokensPerSecond: number;
  readonly requestsPerSecond: number;
  readonly errorShare: number;
}

/** Model health as routers and the governor read it: at most a few seconds old. */
export interface HealthView {
  /** Undefined where no worker has said anything lately. */
  of(pool: string, model?: string): PoolHealth | undefined;
  stop(): void;
}
