/**
 * What the questions of one answer have in common: their mean vector, and how often each of their features occurs among
 * them: words, pairs, parts of words.
 */

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
  sum: Float64Array | undefined;
  readonly terms: Map<number, number>;
}

/** What a group is believed to have in common with all others, in questions. */
const SMOOTH = 2;

export class Rests {
  readonly #groups = new Map<string, Group>();
  readonly #terms = new Map<number, number>();
  /** How many answers have questions with the word. */
  readonly #answers = new Map<number, number>();
  #size = 0;

  /** Adds a question that rests so, or with -1 takes it away. */
  count(rest: string, terms: Iterable<number>, vector: Float32Array | undefined, by: 1 | -1): void {
    const group: Group = this.#groups.get(rest) ?? { size: 0, sum: undefined, terms: new Map() };
    this.#groups.set(rest, group);
    group.size += by;
    this.#size += by;
    for (const term of terms) {
      const count = countIn(group.terms, term, by);
      if (rest !== "" && count === (by === 1 ? 1 : 0)) countIn(this.#answers, term, by);
      countIn(this.#terms, term, by);
    }
    if (vector) {
      group.sum ??= new Float64Array(vector.length);
      const { sum } = group;
      if (sum.length === vector.length)
        for (let n = 0; n < sum.length; n++) sum[n] = (sum[n] as number) + by * (vector[n] as number);
    }
    if (group.size === 0) this.#groups.delete(rest);
  }

  /** Whether no question that rests so has the word, some have it, or only those. */
  says(rest: string, word: number): "never" | "too" | "alone" {
    const count = this.#groups.get(rest)?.terms.get(word) ?? 0;
    if (count === 0) return "never";
    return count === this.#terms.get(word) ? "alone" : "too";
  }

  /** How many answers have questions with the word. */
  answersWith(word: number): number {
    return this.#answers.get(word) ?? 0;
  }

  /** What each answer's questions have in common with one of these features. */
  fits(
    terms: Iterable<number>,
    vector: Float32Array | undefined,
  ): (rest: string) => Omit<Fit, "share" | "closeShare"> {
    const shares = [...terms].map(
      (term) => [term, ((this.#terms.get(term) ?? 0) + 0.5) / (this.#size + 1)] as const,
    );
    return (rest) => {
      const group = this.#groups.get(rest);
      if (!group) return { size: 0, cosine: undefined, words: 0 };
      const never = Math.log(SMOOTH / (group.size + SMOOTH));
      let log = 0;
      for (const [term, share] of shares) {
        const count = group.terms.get(term);
        log += count === undefined ? never : never + Math.log1p(count / (SMOOTH * share));
      }
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
