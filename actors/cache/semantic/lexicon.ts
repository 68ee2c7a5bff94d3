/**
 * What the questions of a scope tell about its words: which are names (often written with a capital where the sentence
 * asks for none), and in which frames names stand, so that a value written small ("free account", among "Gold account"
 * and "Pro account") is taken for one as well. Counts only, added and taken away with entries.
 */
import { isFunctionWord } from "./function-words.ts";
import type { Word } from "./words.ts";

/** A word is a name when at least this share of its inner occurrences has a capital. */
const CAPITAL_SHARE = 0.25;
/** A frame holds values when so many different names stood in it, and they are this share of all its words. */
const FRAME_NAMES = 3;
const FRAME_SHARE = 0.4;

interface Counts {
  inner: number;
  capital: number;
}

export class Lexicon {
  readonly #words = new Map<string, Counts>();
  readonly #frames = new Map<string, Map<string, number>>();

  /** Adds the words of a text, or with -1 takes them away. */
  count(words: readonly Word[], by: 1 | -1): void {
    for (const [at, word] of words.entries()) {
      const counts = this.#words.get(word.text) ?? { inner: 0, capital: 0 };
      if (!word.first) counts.inner += by;
      if (word.capital) counts.capital += by;
      this.#words.set(word.text, counts);
      if (word.number || isFunctionWord(word.text)) continue;
      for (const frame of framesOf(words, at)) {
        const fillers = this.#frames.get(frame) ?? new Map<string, number>();
        fillers.set(word.text, (fillers.get(word.text) ?? 0) + by);
        this.#frames.set(frame, fillers);
      }
    }
  }

  isName(word: Word): boolean {
    if (word.number || isFunctionWord(word.text)) return false;
    const { inner = 0, capital = 0 } = this.#words.get(word.text) ?? {};
    return (
      (word.capital && capital + 1 >= CAPITAL_SHARE * (inner + 1)) ||
      (capital > 0 && capital >= CAPITAL_SHARE * inner)
    );
  }

  /** The values that a text names: names, and what stands where names stand. */
  valuesOf(words: readonly Word[]): Set<string> {
    const values = new Set<string>();
    for (const [at, word] of words.entries())
      if (
        !word.number &&
        !isFunctionWord(word.text) &&
        (this.isName(word) || framesOf(words, at).some((frame) => this.#holdsValues(frame)))
      )
        values.add(word.text);
    return values;
  }

  #holdsValues(frame: string): boolean {
    const fillers = this.#frames.get(frame);
    if (!fillers || fillers.size < FRAME_NAMES) return false;
    let names = 0;
    let all = 0;
    for (const [text, count] of fillers) {
      if (count <= 0) continue;
      all++;
      const counts = this.#words.get(text);
      if (counts && counts.capital > 0 && counts.capital >= CAPITAL_SHARE * counts.inner) names++;
    }
    return names >= FRAME_NAMES && names >= FRAME_SHARE * all;
  }
}

function framesOf(words: readonly Word[], at: number): string[] {
  const frames: string[] = [];
  const right = words[at + 1]?.text;
  const left = words[at - 1]?.text;
  const farLeft = words[at - 2]?.text;
  if (right !== undefined && !isFunctionWord(right)) frames.push(`_ ${right}`);
  if (left !== undefined && farLeft !== undefined && isFunctionWord(left))
    frames.push(`${farLeft} ${left} _`);
  return frames;
}
