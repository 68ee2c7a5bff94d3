/**
 * How sure a candidate has to be: the least confidence at which the mean error expected of what is served stays within
 * the operator's bound. Expected errors come from the verifier, and are corrected by how checks ended.
 */

/** Of the bound, so much is spent: how many of the errors expected come about differs from run to run. */
const SPENT = 0.7;
/** Confidences of the last look-ups; the threshold follows the traffic. */
const WINDOW = 400;
const LEAST = 40;
const RENEW = 10;
/**
 * The verifier's errors are found out where it is fairly sure and yet asks the model, and in checks. What it is wrong
 * about there, against what it expected, carries over to what is served, and more than in proportion: measured on traffic
 * that was kept apart, about as the square.
 */
const FAIRLY_SURE = 0.7;
/** Lessons that stand for the belief, before there are any, that it expects as many errors as there are. */
const BELIEF = 6;
/** A check is rare and of exactly what is served. */
const CHECK_WEIGHT = 3;
/** Never serve what is less sure than this, however good the rest is. */
const LEAST_CONFIDENCE = 0.85;
/**
 * A cache that is sure of little would wait long for its mean: an error of so many bounds is always taken, alone. With
 * vectors half of the errors expected there come about, by words two thirds.
 */
const SINGLE = { vectors: 5, words: 4 };

export class Bound {
  readonly #bound: number;
  readonly #single: number;
  #errors: number[] = [];
  #threshold: number;
  #since = 0;
  #expected = BELIEF;
  #differed = BELIEF;

  constructor(bound: number, by: keyof typeof SINGLE) {
    this.#bound = bound;
    this.#single = SINGLE[by] * bound;
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

  /** The model was asked about a candidate of this confidence, because it was not sure enough or for a check. */
  learned(confidence: number, agreed: boolean, check: boolean): void {
    if (confidence < FAIRLY_SURE) return;
    const weight = check ? CHECK_WEIGHT : 1;
    this.#expected += weight * (1 - confidence);
    if (!agreed) this.#differed += weight;
  }

  #renew(): void {
    this.#since = 0;
    // Fewer errors than expected is no leave to serve more: on one seed of banking that came to twice the bound.
    const trust = Math.min(1, (this.#expected / this.#differed) ** 2);
    const sorted = [...this.#errors].sort((a, b) => a - b);
    let sum = 0;
    let last = 0;
    for (const [n, error] of sorted.entries()) {
      sum += error;
      if (sum > trust * SPENT * this.#bound * (n + 1)) break;
      last = error;
    }
    const least = trust === 1 ? this.#single : this.#bound;
    this.#threshold = Math.max(LEAST_CONFIDENCE, 1 - Math.max(last, least));
  }
}
