/**
 * Text to index terms: Unicode words, lower case, diacritics folded, without the stop words of the language, stemmed.
 * The same function makes the terms of passages and of questions, or they would not meet.
 */
import { quantityAt } from "#contracts/numerals.ts";
import { stemmerOf } from "./stem.ts";
import { stopWordsOf } from "./stop-words.ts";

const MARKS = /\p{M}/gu;
const NOT_ASCII = /\P{ASCII}/u;
/** Longer "words" are data; they would only fill the index. */
const TERM_CHARS = 48;

/** Lower case, compatibility forms and diacritics folded: `Één` -> `een`. */
export function fold(text: string): string {
  return (NOT_ASCII.test(text) ? text.normalize("NFKD").replace(MARKS, "") : text).toLowerCase();
}

const LETTER = 1;
const NUMBER = 2;
const OTHER = 3;
/** What each UTF-16 unit is, looked up once; 0: not yet. */
const kinds = new Uint8Array(0x10000);

const kindOf = (character: string): number =>
  /\p{L}/u.test(character) ? LETTER : /\p{N}/u.test(character) ? NUMBER : OTHER;

function kindAt(text: string, at: number): number {
  const code = text.charCodeAt(at);
  if (code >= 0xd800 && code < 0xdc00) return kindOf(String.fromCodePoint(text.codePointAt(at) as number));
  // NaN behind the end reads no entry.
  const known = kinds[code] ?? OTHER;
  if (known !== 0) return known;
  const kind = kindOf(String.fromCharCode(code));
  kinds[code] = kind;
  return kind;
}

/** Two units for a pair of surrogates; a lone one is a character of its own. */
const widthAt = (text: string, at: number): number => ((text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1);

/** Where a run of these kinds ends. */
function endOf(text: string, from: number, most: number): number {
  let at = from;
  while (kindAt(text, at) <= most) at += widthAt(text, at);
  return at;
}

function endOfDigits(text: string, from: number): number {
  let at = from;
  while (kindAt(text, at) === NUMBER) at += widthAt(text, at);
  return at;
}

const isSeparator = (code: number): boolean => code === 0x2e || code === 0x2c || code === 0x3a;
const isApostrophe = (code: number): boolean => code === 0x27 || code === 0x2019;

/**
 * The words of a text in order, folded, apostrophes and what follows them cut off. A number keeps its separators (4.95,
 * 22:00); letters and digits together are a code (AC12345).
 */
export function wordsOf(text: string): string[] {
  const folded = fold(text);
  const words: string[] = [];
  for (let at = 0; at < folded.length; ) {
    const kind = kindAt(folded, at);
    if (kind === OTHER) {
      at += widthAt(folded, at);
      continue;
    }
    let end = kind === NUMBER ? endOfDigits(folded, at) : at;
    let next = end;
    while (next > at && isSeparator(folded.charCodeAt(next)) && kindAt(folded, next + 1) === NUMBER)
      next = endOfDigits(folded, next + 1);
    if (next > end) end = next;
    else {
      end = endOf(folded, end, NUMBER);
      next = end;
      if (isApostrophe(folded.charCodeAt(end)) && kindAt(folded, end + 1) === LETTER)
        next = endOf(folded, end + 1, LETTER);
    }
    words.push(folded.slice(at, Math.min(end, at + TERM_CHARS)));
    at = next;
  }
  return words;
}

/** In a language without a list of stop words the shortest words are taken for them. */
const SHORT = /^[a-z]{1,4}$/;
/** A stop word has no term. */
const NOTHING = "";

/** Term of each word by language. Texts repeat their words, and a stem costs a hundred look-ups. */
const known = new Map<string, Map<string, string>>();
const MOST_KNOWN = 100_000;

function termOf(word: string, language: string, terms: Map<string, string>): string {
  const found = terms.get(word);
  if (found !== undefined) return found;
  if (terms.size >= MOST_KNOWN) terms.clear();
  const own = ownCopy(word);
  const stopWords = stopWordsOf(language);
  const term =
    stopWords.has(own) || (stopWords.size === 0 && SHORT.test(own)) ? NOTHING : stemmerOf(language)(own);
  terms.set(own, term);
  return term;
}

/** A word cut out of a text keeps the whole text in memory; what is kept must not. */
const ownCopy = (word: string): string => Buffer.from(word, "utf16le").toString("utf16le");

/** The terms of a text in a language (ISO 639-1): what is left of its words is what it is about. */
export function termsOf(text: string, language: string): string[] {
  const cached = known.get(language) ?? new Map<string, string>();
  known.set(language, cached);
  const terms: string[] = [];
  const words = wordsOf(text);
  for (let at = 0; at < words.length; at++) {
    const quantity = quantityAt(words, at, language);
    const term = quantity?.term ?? termOf(words[at] as string, language, cached);
    if (term !== NOTHING) terms.push(term);
    if (quantity) at += quantity.words - 1;
  }
  return terms;
}
