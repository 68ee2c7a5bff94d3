/** How long a model may be silent, and the one signal that ends its request: ours, or its caller's. */
import { JetclawError } from "#contracts/errors.ts";

/** Longest wait for the first sign of an answer. */
const FIRST_TOKEN_MS = 20_000;
/** So that a silent model leaves time for one more try and for the apology. */
const FIRST_TOKEN_SHARE = 0.45;
/** Longest silence inside an answer. */
const BETWEEN_TOKENS_MS = 10_000;
/** After the finish reason only usage may follow: nobody waits long for that. */
const AFTER_FINISH_MS = 1_000;

export type Phase = "first" | "between" | "finished";

export class Patience {
  readonly #controller = new AbortController();
  readonly #parent: AbortSignal;
  readonly #firstTokenMs: number;
  readonly #onParent = (): void => this.#controller.abort(this.#parent.reason);
  #timer: NodeJS.Timeout | undefined;

  constructor(parent: AbortSignal, remainingMs: number) {
    this.#parent = parent;
    this.#firstTokenMs = Math.min(FIRST_TOKEN_MS, Math.max(1, remainingMs * FIRST_TOKEN_SHARE));
    if (parent.aborted) this.#onParent();
    else parent.addEventListener("abort", this.#onParent, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Starts the wait for the next sign of life anew. */
  arm(phase: Phase): void {
    clearTimeout(this.#timer);
    const ms = { first: this.#firstTokenMs, between: BETWEEN_TOKENS_MS, finished: AFTER_FINISH_MS }[phase];
    this.#timer = setTimeout(() => {
      const what = phase === "first" ? "no first token" : "no further token";
      this.#controller.abort(new JetclawError("model.unavailable", `${what} within ${Math.round(ms)} ms`));
    }, ms);
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#parent.removeEventListener("abort", this.#onParent);
  }
}
