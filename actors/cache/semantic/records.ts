/** How candidates did in lessons, by entry and by what they rest on. */
import type { Records } from "./measures.ts";

interface Count {
  agreed: number;
  differed: number;
}

/** A confusion of two documents tells more than an agreement of one. */
const CONFUSION_WEIGHT = 4;

export class LessonRecords implements Records {
  readonly #counts = new Map<string, Count>();

  /** Counts the lesson of a candidate that rests on `rest` where the model answered from `actual`, or takes it away. */
  count(entry: string, rest: string, actual: string, by: 1 | -1): void {
    for (const key of [entryKey(entry), restKey(rest), pairKey(rest, actual)]) {
      const count = this.#counts.get(key) ?? { agreed: 0, differed: 0 };
      if (rest === actual) count.agreed += by;
      else count.differed += by;
      if (count.agreed + count.differed > 0) this.#counts.set(key, count);
      else this.#counts.delete(key);
    }
  }

  entry(id: string): number {
    return this.#share(entryKey(id));
  }

  confusion(rest: string, other: string): number {
    const agreed = this.#counts.get(restKey(rest))?.agreed ?? 0;
    const confused = this.#counts.get(pairKey(rest, other))?.differed ?? 0;
    return (agreed + 1) / (agreed + CONFUSION_WEIGHT * confused + 2);
  }

  #share(key: string): number {
    const { agreed, differed } = this.#counts.get(key) ?? { agreed: 0, differed: 0 };
    return (agreed + 1) / (agreed + differed + 2);
  }
}

const entryKey = (id: string): string => `e ${id}`;
const restKey = (rest: string): string => `r ${rest}`;
const pairKey = (rest: string, actual: string): string => `p ${rest}\n\n\n${actual}`;
