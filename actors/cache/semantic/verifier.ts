/**
 * Learns from lessons when a candidate is right: logistic regression on its measures, fitted to the last lessons and to
 * a prior. The same lessons in the same order give the same weights.
 * Idea: vCache (Schroeder et al., 2025), error-bounded semantic caching; there one regression an entry, here one a
 * language over measures that hold the entry's record, because entries alone warm up slowly.
 */
import { factored, rowAt } from "./cholesky.ts";
import type { Trial } from "./port.ts";

/** Lessons that count: older ones fall out. */
const LESSONS = 1_000;
/** Fitted anew after so many new lessons at the least, and this share of those held. */
const REFIT = 8;
const REFIT_SHARE = 0.03;
const STEPS = 6;
/** What the prior is worth, a measure: it leads for the first dozens of lessons, then the language's own decide. */
const STRENGTH = 16;

export class Verifier {
  readonly #prior: Float64Array;
  #weights: Float64Array;
  #lessons: Trial[] = [];
  /** Lessons up to which the next fit looks; further ones wait for the one after. */
  #due = 0;
  #fitted = true;

  /** @param prior a weight a measure */
  constructor(prior: readonly number[]) {
    this.#prior = Float64Array.from(prior);
    this.#weights = Float64Array.from(prior);
  }

  get lessons(): number {
    return this.#lessons.length;
  }

  /** Estimated probability that the candidate is right. */
  confidence(features: readonly number[]): number {
    this.settle();
    return sigmoid(dot(this.#weights, features));
  }

  learn(lesson: Trial): void {
    if (lesson.features.length !== this.#prior.length) return;
    this.#lessons.push(lesson);
    const cut = this.#lessons.length - LESSONS;
    if (cut > LESSONS / 4) {
      this.#lessons = this.#lessons.slice(cut);
      this.#due -= cut;
    }
    // When to fit depends on counts alone, so that loaded lessons give what learned ones gave.
    if (this.#lessons.length - this.#due >= Math.max(REFIT, REFIT_SHARE * this.#lessons.length))
      this.#refit();
  }

  forget(lesson: Trial): void {
    const at = this.#lessons.indexOf(lesson);
    if (at < 0) return;
    this.#lessons.splice(at, 1);
    this.#refit();
  }

  /** Fits now what is due, some milliseconds, so that no look-up has to. */
  settle(): void {
    if (!this.#fitted) this.#fit();
  }

  #refit(): void {
    this.#due = this.#lessons.length;
    this.#fitted = false;
  }

  /** Newton's method on the penalised likelihood. */
  #fit(): void {
    this.#fitted = true;
    const size = this.#prior.length;
    const weights = Float64Array.from(this.#prior);
    for (let step = 0; step < STEPS; step++) {
      const slope = new Float64Array(size);
      const curve = new Float64Array(rowAt(size));
      for (let i = 0; i < size; i++) {
        slope[i] = STRENGTH * ((weights[i] as number) - (this.#prior[i] as number));
        curve[rowAt(i) + i] = STRENGTH;
      }
      for (const { features, agreed, weight } of this.#lessons.slice(0, this.#due)) {
        const p = sigmoid(dot(weights, features));
        const error = weight * (p - (agreed ? 1 : 0));
        const bend = weight * Math.max(p * (1 - p), 1e-6);
        for (let i = 0; i < size; i++) {
          const x = features[i] as number;
          if (x === 0) continue;
          slope[i] = (slope[i] as number) + error * x;
          const row = rowAt(i);
          for (let j = 0; j <= i; j++)
            curve[row + j] = (curve[row + j] as number) + bend * x * (features[j] as number);
        }
      }
      const change = factored(curve, size).solve(slope);
      let largest = 0;
      for (let i = 0; i < size; i++) {
        const delta = Math.max(-5, Math.min(5, change[i] as number));
        weights[i] = (weights[i] as number) - delta;
        largest = Math.max(largest, Math.abs(delta));
      }
      if (largest < 1e-3) break;
    }
    this.#weights = weights;
  }
}

export const sigmoid = (z: number): number => 1 / (1 + Math.exp(-Math.max(-30, Math.min(30, z))));

function dot(weights: Float64Array, features: readonly number[]): number {
  let sum = 0;
  for (let n = 0; n < weights.length; n++) sum += (weights[n] as number) * (features[n] ?? 0);
  return sum;
}
