/**
 * What the questions of one answer have in common: their mean vector, and how often each of their features occurs among
 * them: words, pairs, parts of words. Features are numbers, dense from 0.
 */
import { grown } from "./grown.ts";

export interface Fit {
  readonly size: number;
  /** With the mean of their vectors. */
  readonly cosine: number | undefined;
  /** Log of how much likelier the question's features are among them than among all (naive Bayes). */
  readonly words: number;
  /** How much the question is of this answer, told from its nearest questions; the closest ones alone. */
  readonly share: number;
  readonly closeShare: number;
}

interface Group {
  size: number;
  /** How many of them have a vector, and the sum of those. */
  vectors: number;
  sum: Float64Array | undefined;
  readonly terms: Map<number, number>;
}

/** What a group is believed to have in common with all others, in questions. */
const SMOOTH = 2;
/** A product of likelihoods so large is turned into its logarithm: far below what a number holds. */
const LARGE = 1e200;

export class Rests {
  readonly #groups = new Map<string, Group>();
  /** How many questions have the feature, and how many answers have questions with it. */
  #terms = new Uint32Array(1_024);
  #answers = new Uint32Array(1_024);
  #size = 0;

  /** Adds a question that rests so, or with -1 takes it away. At any time all vectors have one length. */
  count(rest: string, terms: Iterable<number>, vector: Float32Array | undefined, by: 1 | -1): void {
    const group: Group = this.#groups.get(rest) ?? {
      size: 0,
      vectors: 0,
      sum: undefined,
      terms: new Map(),
    };
    this.#groups.set(rest, group);
    group.size += by;
    this.#size += by;
    for (const term of terms) {
      if (term >= this.#terms.length) {
        this.#terms = grown(this.#terms, Uint32Array, term);
        this.#answers = grown(this.#answers, Uint32Array, term);
      }
      const count = countIn(group.terms, term, by);
      if (rest !== "" && count === (by === 1 ? 1 : 0)) this.#answers[term] = this.answersWith(term) + by;
      this.#terms[term] = (this.#terms[term] as number) + by;
    }
    if (vector) {
      group.sum ??= new Float64Array(vector.length);
      const { sum } = group;
      for (let n = 0; n < sum.length; n++) sum[n] = (sum[n] as number) + by * (vector[n] as number);
      group.vectors += by;
      // The next one may be of another model, and as long as it is.
      if (group.vectors === 0) group.sum = undefined;
    }
    if (group.size === 0) this.#groups.delete(rest);
  }

  /** Whether no question that rests so has the word, some have it, or only those. */
  says(rest: string, word: number): "never" | "too" | "alone" {
    const count = this.#groups.get(rest)?.terms.get(word) ?? 0;
    if (count === 0) return "never";
    return count === this.#terms[word] ? "alone" : "too";
  }

  /** How many answers have questions with the word. */
  answersWith(word: number): number {
    return this.#answers[word] ?? 0;
  }

  /** What each answer's questions have in common with one of these features. */
  fits(
    terms: Uint32Array,
    vector: Float32Array | undefined,
  ): (rest: string) => Omit<Fit, "share" | "closeShare"> {
    const expected = Float64Array.from(
      terms,
      (term) => (SMOOTH * ((this.#terms[term] ?? 0) + 0.5)) / (this.#size + 1),
    );
    return (rest) => {
      const group = this.#groups.get(rest);
      if (!group) return { size: 0, cosine: undefined, words: 0 };
      let log = terms.length * Math.log(SMOOTH / (group.size + SMOOTH));
      // One logarithm of many likelihoods multiplied: it costs as much as that of one.
      let product = 1;
      for (let n = 0; n < terms.length; n++) {
        const count = group.terms.get(terms[n] as number);
        if (count === undefined) continue;
        product *= 1 + count / (expected[n] as number);
        if (product < LARGE) continue;
        log += Math.log(product);
        product = 1;
      }
      log += Math.log(product);
      const cosine = vector && group.sum ? cosineOf(vector, group.sum) : undefined;
      return { size: group.size, cosine, words: log };
    };
  }
}

function countIn(counts: Map<number, number>, word: number, by: 1 | -1): number {
  const count = (counts.get(word) ?? 0) + by;
  if (count === 0) counts.delete(word);
  else counts.set(word, count);
  return count;
}

/** The vector has unit length; the sum has not. */
function cosineOf(vector: Float32Array, sum: Float64Array): number | undefined {
  if (vector.length !== sum.length) return undefined;
  let product = 0;
  let square = 0;
  for (let n = 0; n < sum.length; n++) {
    const x = sum[n] as number;
    product += x * (vector[n] as number);
    square += x * x;
  }
  return product / Math.sqrt(square || 1);
}
