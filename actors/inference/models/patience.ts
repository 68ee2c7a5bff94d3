/** How long a model may be silent, and the one signal that ends its request: ours, or its caller's. */
import { ModelFailure } from "../failure.ts";

export interface Timeouts {
  /** Until a connection stands. */
  readonly connectMs?: number | undefined;
  /** Longest wait for the first sign of an answer; what is left of the deadline may make it shorter. */
  readonly firstTokenMs?: number | undefined;
  /** Longest silence inside an answer. */
  readonly betweenTokensMs?: number | undefined;
  /** Longest answer, whatever the deadline. */
  readonly totalMs?: number | undefined;
}

const FIRST_TOKEN_MS = 20_000;
/** So that a silent model leaves time for one more try and for the apology. */
const FIRST_TOKEN_SHARE = 0.45;
const BETWEEN_TOKENS_MS = 10_000;
/**
 * Silence up to here may be a model that is well: a hasty caller would take it from everybody else. A caller's deadline alone
 * cuts patience so short; what is configured for the model is its own measure.
 */
const FAIR_FIRST_MS = 2_500;
const FAIR_WHOLE_MS = 10_000;
/** After the finish reason only usage may follow: nobody waits long for that. */
const AFTER_FINISH_MS = 1_000;
/** A silent server leaves a quarter of the time for another one. */
const WHOLE_SHARE = 0.75;

/**
 * `whole`: an answer that is not streamed gives no sign before it is there. `opened`: something came, but no word yet, as
 * from Azure, which says first what it thinks of the prompt; that shortens no wait.
 */
export type Phase = "first" | "opened" | "between" | "finished" | "whole";

const WHAT = {
  first: "no first token",
  opened: "no first token",
  between: "no further token",
  finished: "no further token",
  whole: "no answer",
} as const satisfies Record<Phase, string>;

export class Patience {
  readonly #controller = new AbortController();
  readonly #parent: AbortSignal;
  readonly #phases: Readonly<Record<Exclude<Phase, "opened">, number>>;
  readonly #total: NodeJS.Timeout | undefined;
  readonly #onParent = (): void => this.#controller.abort(this.#parent.reason);
  #timer: NodeJS.Timeout | undefined;
  readonly #hasty: Readonly<Partial<Record<Phase, boolean>>>;
  /** Until when the first word is waited for. */
  #firstUntil = 0;

  constructor(parent: AbortSignal, remainingMs: number, timeouts: Timeouts = {}) {
    const { firstTokenMs = FIRST_TOKEN_MS, betweenTokensMs = BETWEEN_TOKENS_MS, totalMs } = timeouts;
    this.#parent = parent;
    this.#phases = {
      first: Math.min(firstTokenMs, Math.max(1, remainingMs * FIRST_TOKEN_SHARE)),
      between: betweenTokensMs,
      finished: AFTER_FINISH_MS,
      whole: Math.max(1, remainingMs * WHOLE_SHARE),
    };
    const { first, whole } = this.#phases;
    this.#hasty = { first: first < Math.min(firstTokenMs, FAIR_FIRST_MS), whole: whole < FAIR_WHOLE_MS };
    if (totalMs !== undefined)
      this.#total = setTimeout(() => this.#giveUp(`no whole answer within ${totalMs} ms`), totalMs);
    if (parent.aborted) this.#onParent();
    else parent.addEventListener("abort", this.#onParent, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Starts the wait for the next sign of life anew. */
  arm(phase: Phase): void {
    clearTimeout(this.#timer);
    const now = performance.now();
    const ms =
      phase === "opened" ? Math.max(this.#phases.between, this.#firstUntil - now) : this.#phases[phase];
    if (phase === "first" || phase === "whole") this.#firstUntil = now + ms;
    const what = WHAT[phase];
    this.#timer = setTimeout(
      () => this.#giveUp(`${what} within ${Math.round(ms)} ms`, this.#hasty[phase]),
      ms,
    );
  }

  end(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#total);
    this.#parent.removeEventListener("abort", this.#onParent);
  }

  #giveUp(detail: string, isHasty = false): void {
    const failure = new ModelFailure("timeout", detail);
    failure.uncounted = isHasty;
    this.#controller.abort(failure);
  }
}
