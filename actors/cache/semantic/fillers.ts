/**
 * How the questions of one answer fill the place before a noun. Where most of them fill it ("gold account", "free
 * account"), the answer is another one for each filling; where most leave it empty ("my transfer", "a late transfer"),
 * a word there is only said by the way. Counts only, added and taken away with entries.
 */
import { isFunctionWord } from "./grammar.ts";
import type { Word } from "./words.ts";

interface Place {
  /** Times that the noun occurs. */
  all: number;
  /** Times that a word stands before it, by word. */
  readonly by: Map<string, number>;
}

/** What is known of the place in all questions counts as so many of this answer's. */
const BELIEF = 6;
/** Of a noun that nobody has used, so many questions are made up, and in these shares of them the place is filled. */
const UNKNOWN = 4;
const SHARED = 0.5;
const ALONE = 0.2;
/** From this share on the place is one that answers depend on. */
const DECIDING = 0.35;
const ALWAYS = 0.6;

export class Fillers {
  /** Places of all questions, and of those with each answer, by noun. */
  readonly #all = new Map<string, Place>();
  readonly #rests = new Map<string, Map<string, Place>>();

  /** Adds the words of a question with this answer, or with -1 takes them away. */
  count(rest: string, words: readonly Word[], stemOf: (text: string) => string, by: 1 | -1): void {
    const places = this.#rests.get(rest) ?? new Map<string, Place>();
    this.#rests.set(rest, places);
    for (const [at, word] of words.entries()) {
      if (!isNoun(word)) continue;
      const before = words[at - 1];
      const filler = before && isNoun(before) ? before.text : undefined;
      const head = stemOf(word.text);
      countIn(places, head, filler, by);
      countIn(this.#all, head, filler, by);
    }
    if (places.size === 0) this.#rests.delete(rest);
  }

  /** Do the questions with this answer tell it apart by what stands before the noun? */
  decides(rest: string, head: string, { isVerb, shared }: Ask): boolean {
    return this.#shareOf(rest, head, isVerb, shared) >= DECIDING;
  }

  /** Do nearly all of them? Then any word there is a filling. */
  always(rest: string, head: string, { isVerb, shared }: Ask): boolean {
    return this.#shareOf(rest, head, isVerb, shared) >= ALWAYS;
  }

  #shareOf(rest: string, head: string, isVerb: Ask["isVerb"], shared: boolean): number {
    const all = filled(this.#all.get(head), isVerb);
    const own = filled(this.#rests.get(rest)?.get(head), isVerb);
    const share = (all.filled + UNKNOWN * (shared ? SHARED : ALONE)) / (all.all + UNKNOWN);
    return (own.filled + BELIEF * share) / (own.all + BELIEF);
  }
}

interface Ask {
  readonly isVerb: (text: string) => boolean;
  /** Both questions have the noun. */
  readonly shared: boolean;
}

function countIn(places: Map<string, Place>, head: string, filler: string | undefined, by: 1 | -1): void {
  const place = places.get(head) ?? { all: 0, by: new Map<string, number>() };
  place.all += by;
  if (place.all > 0) places.set(head, place);
  else places.delete(head);
  if (filler === undefined) return;
  const count = (place.by.get(filler) ?? 0) + by;
  if (count > 0) place.by.set(filler, count);
  else place.by.delete(filler);
}

function filled(
  place: Place | undefined,
  isVerb: (text: string) => boolean,
): { all: number; filled: number } {
  let filled = 0;
  for (const [text, count] of place?.by ?? []) if (!isVerb(text)) filled += count;
  return { all: place?.all ?? 0, filled };
}

const isNoun = ({ text, number }: Word): boolean => !number && !isFunctionWord(text);
