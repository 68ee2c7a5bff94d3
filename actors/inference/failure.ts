/** Why a model failed: what decides whether another endpoint, another model or nobody is asked next. */
import { asJetclawError, JetclawError } from "#contracts/errors.ts";

export const REASONS = {
  /** 429: this key has had enough for now. */
  limited: "limited",
  /** 402, or a 429 that means an empty account: waiting seconds does not help. */
  exhausted: "exhausted",
  /** 401, 403: this key is not accepted here. */
  unauthorized: "unauthorized",
  /** 404: no such model or address. */
  missing: "missing",
  /** 503, 529: the server has too much to do. */
  overloaded: "overloaded",
  /** Silence for longer than our patience. */
  timeout: "timeout",
  /** Any other error, a broken connection, garbage, half an answer. */
  failed: "failed",
  /** The limit of tokens was used up before the first word: another model may need fewer for its thoughts. */
  spent: "spent",
  /** The request itself is refused: every server would. */
  refused: "refused",
} as const;
export type FailureReason = keyof typeof REASONS;

const REJECTIONS: readonly FailureReason[] = ["unauthorized", "missing", "spent", "refused"];

export class ModelFailure extends JetclawError {
  readonly reason: FailureReason;
  /** How long the provider wants to be left alone, where it says so. */
  readonly restMs: number | undefined;
  /**
   * It says nothing about the model: another request of the same call reports it as well, or its caller had so little time
   * that a model which is well may be silent for as long.
   */
  uncounted = false;

  constructor(reason: FailureReason, detail: string, restMs?: number, cause?: unknown) {
    super(REJECTIONS.includes(reason) ? "model.rejected" : "model.unavailable", detail, {
      ...(restMs === undefined ? {} : { retryAfterSeconds: Math.ceil(restMs / 1_000) }),
      ...(cause === undefined ? {} : { cause }),
    });
    this.reason = reason;
    this.restMs = restMs;
  }
}

/** The reason of anything that a model throws, also of one that knows nothing of reasons. */
export function failureOf(thrown: unknown): ModelFailure {
  if (thrown instanceof ModelFailure) return thrown;
  const { code, detail, retryAfterSeconds } = asJetclawError(thrown);
  if (code === "model.rejected") return new ModelFailure("refused", detail ?? code);
  if (code !== "model.unavailable")
    return new ModelFailure("failed", "the model threw an unexpected error", undefined, thrown);
  if (retryAfterSeconds === undefined) return new ModelFailure("failed", detail ?? code);
  return new ModelFailure("limited", detail ?? code, retryAfterSeconds * 1_000);
}

/** Another model may answer: only what is wrong with the request itself is wrong everywhere. */
export const mayGoOn = ({ reason }: ModelFailure): boolean => reason !== "refused";
/** What another address or key of the same model would not change. */
export const isOfModel = ({ reason }: ModelFailure): boolean => reason === "missing" || reason === "spent";
/** The model is to blame; a limited or misconfigured key says nothing about its health. */
export const isFault = ({ reason, uncounted }: ModelFailure): boolean =>
  !uncounted && (reason === "failed" || reason === "timeout" || reason === "overloaded");
/** Fewer requests at once would have helped. */
export const isCongestion = ({ reason, uncounted }: ModelFailure): boolean =>
  !uncounted && (reason === "limited" || reason === "timeout" || reason === "overloaded");
