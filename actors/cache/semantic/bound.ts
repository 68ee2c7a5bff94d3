/**
 * How sure a candidate has to be: the least confidence at which the mean error expected of what is served stays within
 * the operator's bound. Expected errors come from the verifier, and are corrected by how checks ended.
 */

/** Confidences of the last look-ups; the threshold follows the traffic. */
const WINDOW = 400;
const LEAST = 40;
const RENEW = 10;
/**
 * Lessons come from what was not served, so the verifier expects more errors than there are among what is: by a factor
 * of two to four on traffic that was kept apart. Without checks half of that is believed.
 */
const TRUST = 2;
const MOST_TRUST = 2.5;
/** Checks that this belief is worth, in expected errors. */
const BELIEF = 1.5;
/** Never serve what is less sure than this, however good the rest is. */
const LEAST_CONFIDENCE = 0.9;

export class Bound {
  readonly #bound: number;
  #errors: number[] = [];
  #threshold: number;
  #since = 0;
  #expected = 0;
  #differed = 0;

  constructor(bound: number) {
    this.#bound = bound;
    this.#threshold = 1 - bound;
  }

  get threshold(): number {
    return this.#threshold;
  }

  /** A candidate that no guard refused was found, with this confidence. */
  saw(confidence: number): void {
    this.#errors.push(1 - confidence);
    if (this.#errors.length > WINDOW) this.#errors.shift();
    if (++this.#since >= RENEW && this.#errors.length >= LEAST) this.#renew();
  }

  /** A hit was checked against the model. */
  checked(confidence: number, agreed: boolean): void {
    this.#expected += 1 - confidence;
    if (!agreed) this.#differed++;
  }

  #renew(): void {
    this.#since = 0;
    const trust = Math.min(MOST_TRUST, (this.#expected + BELIEF) / (this.#differed + BELIEF / TRUST));
    const sorted = [...this.#errors].sort((a, b) => a - b);
    let sum = 0;
    let last = 0;
    for (const [n, error] of sorted.entries()) {
      sum += error;
      if (sum > trust * this.#bound * (n + 1)) break;
      last = error;
    }
    this.#threshold = Math.max(LEAST_CONFIDENCE, 1 - Math.max(last, this.#bound));
  }
}
