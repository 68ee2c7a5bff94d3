/**
 * Text to index terms: Unicode words, lower case, diacritics folded, without the stop words of the language, stemmed.
 * The same function makes the terms of passages and of questions, or they would not meet.
 */
import { stemmerOf } from "./stem.ts";
import { stopWordsOf } from "./stop-words.ts";

// A number keeps its separators (4.95, 22:00); letters and digits together are a code (AC12345).
const WORD = /\p{N}+(?:[.,:]\p{N}+)+|[\p{L}\p{N}]+(?:['\u2019][\p{L}]+)?/gu;
const MARKS = /\p{M}/gu;
/** Longer "words" are data; they would only fill the index. */
const TERM_CHARS = 48;

/** Lower case, compatibility forms and diacritics folded: `Één` -> `een`. */
export function fold(text: string): string {
  return text.normalize("NFKD").replace(MARKS, "").toLowerCase();
}

/** The words of a text in order, folded, apostrophes and what follows them cut off. */
export function wordsOf(text: string): string[] {
  const words: string[] = [];
  for (const [word] of fold(text).matchAll(WORD))
    words.push(word.replace(/['\u2019].*$/, "").slice(0, TERM_CHARS));
  return words;
}

/**
 * Stands for any length of time: what a question with "how long" or "after 3 weeks" asks for is where the text has "30
 * days". It ranks passages and says nothing about their topic.
 */
export const TIME_TERM = "@time";
const TIME_WORDS: ReadonlySet<string> = new Set(
  "minute minutes hour hours day days week weeks month months year years minuut minuten uur uren dag dagen weken maand maanden jaar jaren".split(
    " ",
  ),
);
/** In a language without a list of stop words the shortest words are taken for them. */
const SHORT = /^[a-z]{1,4}$/;
const HOW_LONG = /\b(?:how|hoe) (?=long|lang\b)/g;

/** The terms of a text in a language (ISO 639-1): what is left of its words is what it is about. */
export function termsOf(text: string, language: string): string[] {
  const stopWords = stopWordsOf(language);
  const stem = stemmerOf(language);
  const terms: string[] = [];
  for (const word of wordsOf(fold(text).replace(HOW_LONG, "minute ")))
    if (TIME_WORDS.has(word)) {
      if (/^\d+$/.test(terms.at(-1) ?? "")) terms.pop();
      terms.push(TIME_TERM);
    } else if (!stopWords.has(word) && !(stopWords.size === 0 && SHORT.test(word))) terms.push(stem(word));
  return terms;
}
