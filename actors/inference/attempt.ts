/**
 * The model's part of an attempt: everything that can end it - the answer, a failure, the deadline, a stop by the
 * user, a drain - meets in one abort controller and comes out as one outcome.
 */
import type { ToolCall } from "#contracts/chat.ts";
import type { Citation } from "#contracts/content.ts";
import { asJetclawError } from "#contracts/errors.ts";
import { attemptOf, type Job } from "#contracts/job.ts";
import { addUsage, costOf, NO_USAGE, type Usage } from "#contracts/usage.ts";
import type { Clock } from "#runtime/clock.ts";
import { killPoint } from "#runtime/observe/kill-point.ts";
import { type FailureReason, ModelFailure } from "./failure.ts";
import type { PooledModel } from "./models/registry.ts";
import type { ModelPool } from "./pool.ts";
import type { BatchShare, ModelAnswer } from "./port.ts";
import type { Stops } from "./stops.ts";

export interface Outcome {
  readonly finish: "stop" | "length" | "stopped" | "failed" | "handed-back";
  /** What came, whole or not. */
  readonly text: string;
  readonly citations: readonly Citation[];
  readonly toolCalls?: readonly ToolCall[] | undefined;
  readonly refusal?: string | undefined;
  /** Number of the attempt that gave the text. */
  readonly attempt: number;
  /** Of the answer and of every one before it that was cut off or had no word. */
  readonly usage: Usage;
  /** US dollars of that usage; undefined where no model has a price. */
  readonly costUsd: number | undefined;
  /** The model that answered or failed last; undefined when none was asked. */
  readonly served: PooledModel | undefined;
  /** From the start of the attempt; 0 when nothing came. */
  readonly firstTokenMs: number;
  readonly batch?: BatchShare;
  /** For `failed`: `turn.deadline` or `turn.failed`, with what happened. */
  readonly error?: {
    readonly code: "turn.deadline" | "turn.failed";
    readonly detail: string;
    readonly retryAfterSeconds?: number | undefined;
    readonly upstreamStatus?: number | undefined;
  };
}

export interface AttemptParts {
  readonly pool: ModelPool;
  readonly stops: Stops;
  readonly clock: Clock;
  /** How often the job was delivered. */
  readonly delivery: number;
  readonly handBack: AbortSignal;
  /** The worker drains: a job that only waits for a model to come back waits elsewhere. */
  readonly leaving: AbortSignal;
  readonly onText: (text: string) => void;
  /** What was streamed so far is void: an attempt of this number begins. */
  readonly onRestart: (attempt: number) => void;
  readonly onFailure: (model: PooledModel, error: ModelFailure) => void;
}

/** The result must reach the conversation before the deadline: the model ends this much earlier, or at nine tenths. */
const RESULT_MARGIN_MS = 1_000;

type Ending = "stopped" | "handed-back" | "deadline";

export async function runAttempt(job: Job, parts: AttemptParts): Promise<Outcome> {
  const { clock, stops, handBack, leaving, delivery } = parts;
  const startedAt = clock.now();
  const leftMs = job.deadline - startedAt;
  const state: Progress = {
    text: "",
    firstTokenMs: 0,
    served: undefined,
    attempt: attemptOf(delivery, 0),
    restarts: 0,
    waits: false,
    startedAt,
    until: job.deadline - Math.min(RESULT_MARGIN_MS, Math.max(0, leftMs) / 10),
    spent: { usage: NO_USAGE, costUsd: undefined },
  };
  if (leftMs <= 0) return ended("deadline", state, job);
  const ending = new AbortController();
  const end = (why: Ending) => (): void => ending.abort(why);
  const timer = setTimeout(end("deadline"), state.until - startedAt);
  const deaf = stops.listen(job.tenant, job.session, job.turn, end("stopped"));
  const onHandBack = end("handed-back");
  handBack.addEventListener("abort", onHandBack, { once: true });
  if (handBack.aborted) onHandBack();
  const onLeave = (): void => {
    if (state.waits) onHandBack();
  };
  leaving.addEventListener("abort", onLeave, { once: true });
  try {
    const onWait = (waits: boolean): void => {
      state.waits = waits;
      if (leaving.aborted) onLeave();
    };
    const answer = await ask(job, parts, ending.signal, state, onWait);
    const { served, attempt } = state;
    const spent = plus(state.spent, answer.usage, served);
    return {
      ...answer,
      ...spent,
      served,
      attempt,
      firstTokenMs: state.firstTokenMs || clock.now() - startedAt,
    };
  } catch (error) {
    if (ending.signal.aborted) return ended(ending.signal.reason as Ending, state, job);
    const { code, detail, retryAfterSeconds } = asJetclawError(error);
    const reason =
      code === "internal.bug"
        ? "the model threw an unexpected error"
        : `${code}${detail ? `: ${detail}` : ""}`;
    return {
      ...partial("failed", state, job),
      error: {
        code: "turn.failed",
        detail: reason,
        retryAfterSeconds,
        upstreamStatus: statusOf(error, detail),
      },
    };
  } finally {
    clearTimeout(timer);
    deaf();
    handBack.removeEventListener("abort", onHandBack);
    leaving.removeEventListener("abort", onLeave);
  }
}

interface Spent {
  readonly usage: Usage;
  readonly costUsd: number | undefined;
}

interface Progress {
  text: string;
  firstTokenMs: number;
  served: PooledModel | undefined;
  attempt: number;
  restarts: number;
  /** No model is at work on it: all failed or rest. */
  waits: boolean;
  /** Of answers that were cut off, or came without a word. */
  spent: Spent;
  readonly startedAt: number;
  /** The answer must be whole by then. */
  readonly until: number;
}

/** Ends with the signal even where a model ignores it: an attempt never outlives its deadline. */
async function ask(
  job: Job,
  parts: AttemptParts,
  signal: AbortSignal,
  state: Progress,
  onWait: (waits: boolean) => void,
): Promise<ModelAnswer> {
  let abandon: () => void = () => {};
  const aborted = new Promise<never>((_, reject) => {
    abandon = () => reject(signal.reason);
    if (signal.aborted) abandon();
    else signal.addEventListener("abort", abandon, { once: true });
  });
  aborted.catch(() => {});
  let held: Promise<void> | undefined;
  const onText = (text: string): void => {
    if (signal.aborted || text === "") return;
    if (state.text === "" && state.restarts === 0)
      state.firstTokenMs = Math.max(1, parts.clock.now() - state.startedAt);
    state.text += text;
    parts.onText(text);
    held = killPoint("worker.midStream") ?? held;
  };
  const onSpent = (usage: Usage): void => {
    state.spent = plus(state.spent, usage, state.served);
    state.text = "";
  };
  try {
    const run = parts.pool.run(
      job,
      { signal, attempt: state.attempt, until: state.until, onText, onSpent },
      {
        onTry: (model) => {
          // The next model begins: what the one before had said was paid for, and is void.
          if (state.text !== "") state.spent = plus(state.spent, partUsage(state, job), state.served);
          state.text = "";
          state.served = model;
        },
        onRestart: () => {
          state.attempt = attemptOf(parts.delivery, ++state.restarts);
          parts.onRestart(state.attempt);
          return state.attempt;
        },
        onFailure: parts.onFailure,
        onWait,
      },
    );
    const answer = await Promise.race([run, aborted]);
    if (held) await held;
    return answer;
  } finally {
    signal.removeEventListener("abort", abandon);
  }
}

function ended(why: Ending, state: Progress, job: Job): Outcome {
  if (why !== "deadline") return partial(why, state, job);
  return {
    ...partial("failed", state, job),
    error: { code: "turn.deadline", detail: "the answer was not complete in time" },
  };
}

/** Who stops a model in mid-answer has paid for what came: the model estimates it where it can. */
function partial(finish: Outcome["finish"], state: Progress, job: Job): Outcome {
  const { text, served, firstTokenMs, attempt } = state;
  const spent = plus(state.spent, partUsage(state, job), served);
  return { finish, text, citations: [], ...spent, attempt, served, firstTokenMs };
}

const partUsage = ({ text, served }: Progress, job: Job): Usage =>
  text === "" ? NO_USAGE : (served?.model.estimate?.(job, text) ?? NO_USAGE);

function plus(spent: Spent, usage: Usage, model: PooledModel | undefined): Spent {
  const cost = model?.price && costOf(usage, model.price);
  return {
    usage: addUsage(spent.usage, usage),
    costUsd: cost === undefined ? spent.costUsd : (spent.costUsd ?? 0) + cost,
  };
}

const STATUSES: Partial<Record<FailureReason, number>> = { limited: 429, overloaded: 503, timeout: 504 };

/** What the provider said as an HTTP status, or would have said: callers of the endpoint are answered in kind. */
function statusOf(error: unknown, detail: string | undefined): number | undefined {
  const known = error instanceof ModelFailure ? STATUSES[error.reason] : undefined;
  const said = /\bHTTP (\d{3})\b/.exec(detail ?? "")?.[1];
  return known ?? (said === undefined ? undefined : Number(said));
}
