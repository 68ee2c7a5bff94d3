/** Known words, found again from a misspelling: one letter more, less, other, or swapped with its neighbour. */

/** Shorter words are too near to each other. */
const LEAST_CHARS = 5;

export const isSpellable = (text: string): boolean => text.length >= LEAST_CHARS && !/\p{N}/u.test(text);

/** Source of the method: SymSpell (Garbe, 2012): a word and its misspelling share what is left without a letter. */
export class Spelling {
  readonly #words = new Map<string, Set<string>>();

  add(word: string): void {
    for (const key of keysOf(word)) {
      const words = this.#words.get(key) ?? new Set();
      words.add(word);
      this.#words.set(key, words);
    }
  }

  remove(word: string): void {
    for (const key of keysOf(word)) {
      const words = this.#words.get(key);
      words?.delete(word);
      if (words?.size === 0) this.#words.delete(key);
    }
  }

  /** Known words that the text may be meant for, itself excluded. */
  near(text: string): Set<string> {
    const found = new Set<string>();
    for (const key of keysOf(text))
      for (const word of this.#words.get(key) ?? [])
        if (word !== text && isOneSlip(text, word)) found.add(word);
    return found;
  }
}

function keysOf(text: string): string[] {
  const keys = [text];
  for (let at = 0; at < text.length; at++) keys.push(text.slice(0, at) + text.slice(at + 1));
  return keys;
}

function isOneSlip(one: string, other: string): boolean {
  const most = Math.min(one.length, other.length);
  let from = 0;
  while (from < most && one[from] === other[from]) from++;
  let end = 0;
  while (end < most - from && one.at(-1 - end) === other.at(-1 - end)) end++;
  const [a, b] = [one.length - from - end, other.length - from - end];
  if (a <= 1 && b <= 1) return true;
  return a === 2 && b === 2 && one[from] === other[from + 1] && one[from + 1] === other[from];
}
