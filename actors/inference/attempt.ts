/**
 * The model's part of an attempt: everything that can end it - the answer, a failure, the deadline, a stop by the
 * user, a drain - meets in one abort controller and comes out as one outcome.
 */
import type { ToolCall } from "#contracts/chat.ts";
import type { Citation } from "#contracts/content.ts";
import { asJetclawError, type JetclawError } from "#contracts/errors.ts";
import type { Job } from "#contracts/job.ts";
import { NO_USAGE, type Usage } from "#contracts/usage.ts";
import type { Clock } from "#runtime/clock.ts";
import { killPoint } from "#runtime/observe/kill-point.ts";
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
  readonly usage: Usage;
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
  readonly attempt: number;
  readonly handBack: AbortSignal;
  readonly onText: (text: string) => void;
  readonly onFailure: (model: PooledModel, error: JetclawError) => void;
}

/** The result must reach the conversation before the deadline: the model ends this much earlier, or at nine tenths. */
const RESULT_MARGIN_MS = 1_000;

type Ending = "stopped" | "handed-back" | "deadline";

export async function runAttempt(job: Job, parts: AttemptParts): Promise<Outcome> {
  const { clock, stops, handBack } = parts;
  const startedAt = clock.now();
  const leftMs = job.deadline - startedAt;
  const state = { text: "", firstTokenMs: 0, served: undefined as PooledModel | undefined };
  if (leftMs <= 0) return ended("deadline", state, job);
  const ending = new AbortController();
  const end = (why: Ending) => (): void => ending.abort(why);
  const timer = setTimeout(end("deadline"), leftMs - Math.min(RESULT_MARGIN_MS, leftMs / 10));
  const deaf = stops.listen(job.tenant, job.session, job.turn, end("stopped"));
  const onHandBack = end("handed-back");
  handBack.addEventListener("abort", onHandBack, { once: true });
  if (handBack.aborted) onHandBack();
  try {
    const answer = await ask(job, parts, ending.signal, state, startedAt);
    return { ...answer, served: state.served, firstTokenMs: state.firstTokenMs || clock.now() - startedAt };
  } catch (error) {
    if (ending.signal.aborted) return ended(ending.signal.reason as Ending, state, job);
    const { code, detail, retryAfterSeconds } = asJetclawError(error);
    const reason =
      code === "internal.bug"
        ? "the model threw an unexpected error"
        : `${code}${detail ? `: ${detail}` : ""}`;
    const upstreamStatus = statusIn(detail);
    return {
      ...partial("failed", state, job),
      error: { code: "turn.failed", detail: reason, retryAfterSeconds, upstreamStatus },
    };
  } finally {
    clearTimeout(timer);
    deaf();
    handBack.removeEventListener("abort", onHandBack);
  }
}

interface Progress {
  text: string;
  firstTokenMs: number;
  served: PooledModel | undefined;
}

/** Ends with the signal even where a model ignores it: an attempt never outlives its deadline. */
async function ask(
  job: Job,
  parts: AttemptParts,
  signal: AbortSignal,
  state: Progress,
  startedAt: number,
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
    if (state.text === "") state.firstTokenMs = Math.max(1, parts.clock.now() - startedAt);
    state.text += text;
    parts.onText(text);
    held = killPoint("worker.midStream") ?? held;
  };
  try {
    const run = parts.pool.run(
      job,
      { signal, attempt: parts.attempt, onText },
      {
        onTry: (model) => {
          state.served = model;
        },
        onFailure: parts.onFailure,
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
function partial(finish: Outcome["finish"], { text, served, firstTokenMs }: Progress, job: Job): Outcome {
  const usage = text === "" ? NO_USAGE : (served?.model.estimate?.(job, text) ?? NO_USAGE);
  return { finish, text, citations: [], usage, served, firstTokenMs };
}

/** A provider's failure begins with the status it answered, as `modelError` words it. */
function statusIn(detail: string | undefined): number | undefined {
  const status = /\bHTTP (\d{3})\b/.exec(detail ?? "")?.[1];
  return status === undefined ? undefined : Number(status);
}
