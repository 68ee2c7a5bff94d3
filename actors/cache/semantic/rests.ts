/** What the questions of one answer have in common: their mean vector, and how often each word occurs among them. */

export interface Fit {
  readonly size: number;
  /** With the mean of their vectors. */
  readonly cosine: number | undefined;
  /** Log of how much likelier the question's words are among them than among all (naive Bayes). */
  readonly words: number;
  /** How much the question is of this answer, told from its nearest questions; the closest ones alone; their words. */
  readonly share: number;
  readonly closeShare: number;
  readonly wordShare: number;
}

interface Group {
  size: number;
  sum: Float64Array | undefined;
  readonly words: Map<number, number>;
}

/** What a group is believed to have in common with all others, in questions. */
const SMOOTH = 2;

export class Rests {
  readonly #groups = new Map<string, Group>();
  readonly #words = new Map<number, number>();
  /** How many answers have questions with the word. */
  readonly #answers = new Map<number, number>();
  #size = 0;

  /** Adds a question that rests so, or with -1 takes it away. */
  count(rest: string, words: readonly number[], vector: Float32Array | undefined, by: 1 | -1): void {
    const group: Group = this.#groups.get(rest) ?? { size: 0, sum: undefined, words: new Map() };
    this.#groups.set(rest, group);
    group.size += by;
    this.#size += by;
    for (const word of words) {
      const count = countIn(group.words, word, by);
      if (rest !== "" && count === (by === 1 ? 1 : 0)) countIn(this.#answers, word, by);
      countIn(this.#words, word, by);
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
    const count = this.#groups.get(rest)?.words.get(word) ?? 0;
    if (count === 0) return "never";
    return count === this.#words.get(word) ? "alone" : "too";
  }

  /** How many answers have questions with the word. */
  answersWith(word: number): number {
    return this.#answers.get(word) ?? 0;
  }

  fit(
    rest: string,
    words: readonly number[],
    vector: Float32Array | undefined,
  ): Omit<Fit, "share" | "closeShare" | "wordShare"> {
    const group = this.#groups.get(rest);
    if (!group) return { size: 0, cosine: undefined, words: 0 };
    let log = 0;
    for (const word of words) {
      const share = ((this.#words.get(word) ?? 0) + 0.5) / (this.#size + 1);
      log += Math.log(((group.words.get(word) ?? 0) + SMOOTH * share) / (group.size + SMOOTH) / share);
    }
    return {
      size: group.size,
      cosine: vector && group.sum ? cosineOf(vector, group.sum) : undefined,
      words: log,
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
