/** A circuit breaker that holds its state: calls pass through it, and while it is open they fail at once. */
import { admit, type Breaker, CLOSED, callOff, fail, succeed } from "./breaker.ts";

/** What the end of a call says of the service: `neither` where the caller gave up or asked for something impossible. */
export type Verdict = "failed" | "neither";

export class Gate {
  #breaker: Breaker = CLOSED;
  readonly #refusal: () => Error;
  readonly #verdictOf: (error: unknown) => Verdict;

  /** @param refusal what a call is told while the breaker is open */
  constructor(refusal: () => Error, verdictOf: (error: unknown) => Verdict) {
    this.#refusal = refusal;
    this.#verdictOf = verdictOf;
  }

  get state(): Breaker["state"] {
    return this.#breaker.state;
  }

  /** @throws what the call throws, or the refusal */
  async run<T>(call: () => Promise<T>): Promise<T> {
    const admitted = admit(this.#breaker, performance.now());
    if (!admitted) throw this.#refusal();
    this.#breaker = admitted;
    const { era } = admitted;
    try {
      const result = await call();
      this.#breaker = succeed(this.#breaker, era);
      return result;
    } catch (error) {
      this.#breaker =
        this.#verdictOf(error) === "failed"
          ? fail(this.#breaker, era, performance.now(), Math.random())
          : callOff(this.#breaker, era, performance.now());
      throw error;
    }
  }
}
