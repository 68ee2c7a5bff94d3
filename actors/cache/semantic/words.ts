/** A question as words: folded, with the casing and position that tell names from other words; numbers in digits. */
import { numeralInEitherAt } from "#contracts/numerals.ts";
import { isFunctionWord } from "./grammar.ts";
import { isUnitAt } from "./units.ts";

export interface Word {
  /** Folded: compatibility forms, diacritics and case removed. */
  readonly text: string;
  /** Begins with a capital where the sentence does not ask for one. */
  readonly capital: boolean;
  /** Begins the text or a sentence: its casing tells nothing. */
  readonly first: boolean;
  /** Holds a digit, ends in a sign or is a single letter: a number or a code. */
  readonly number: boolean;
}

/** Longer "words" are data. */
const WORD_CHARS = 48;
/** A text beyond this many words is compared by its beginning. */
const WORDS = 160;
// Numbers keep separators between digits, and the sign before them where a word may begin: (020)-12 and 20%-30% have none.
// A sign that ends a word makes it a code: c++, S21+, and after one letter c#, but not order# 12. What a number counts may be a sign.
const WORD =
  /[\u20ac$\u00a3\u00a5](?=\s?\p{N})|(?<=\p{N}\s?)[\u20ac$\u00a3\u00a5%]|(?:(?<![^\s(["'\u2018\u201c])-(?=\p{N}))?(?:(?<![\p{L}\p{N}])\p{N}+(?:[.,:]\p{N}+)+|[\p{L}\p{N}]+(?:['\u2019]\p{L}+|(?:\+{1,2}|(?<=(?<![\p{L}\p{N}])\p{L})#)(?![\p{L}\p{N}+#]))?)/gu;
const CODE = /\p{N}|[+#]$/u;
const SIGNS: ReadonlyMap<string, string> = new Map([
  ["\u20ac", "euro"],
  ["$", "dollar"],
  ["\u00a3", "pound"],
  ["\u00a5", "yen"],
  ["%", "percent"],
]);
/** A capital alone is a size or a kind: in M, vitamin C. So are letters that are no word of anybody's, also small ones. */
const LETTER = /^(?:\p{Lu}|[bcfghjlpqvz])$/u;
const NO_CODE: ReadonlySet<string> = new Set(["I", "U"]);
const SIZES: ReadonlySet<string> = new Set(["size", "sizes", "maat", "maten"]);
/** As keyboards and phones write an apostrophe. */
const APOSTROPHES = /[\u00b4`\u2018\u02bc\u2032]/gu;
const WITH = /(?<![\p{L}\p{N}])w\/(o(?!\p{L}))?/giu;
/** A small word run into the name after it, `aPro`, `myAcme`; an iPhone and PayPal are one word each. */
const GLUED = /(?<![\p{L}\p{N}])(\p{Ll}+)(?=\p{Lu}\p{Ll})/gu;
const isGluable = (word: string): boolean => word === "a" || (word.length > 1 && isFunctionWord(word));
/** In capitals a country. */
const COUNTRY = /(?<![\p{L}\p{N}.])(?:US|U\.S\.(?:A\.)?)(?![\p{L}\p{N}])/gu;
const MARKS = /\p{M}/gu;
const SENTENCE_END = /[.!?\n]\s*$/u;
/** Titles end in a full stop that ends no sentence. */
const ABBREVIATION = /(?:^|\s)\p{L}{1,3}\.\s*$/u;

/** The country spelt as nothing else is: where all is in capitals, US may be us. */
export const withCountry = (text: string): string =>
  /\p{Ll}/u.test(text) ? text.replace(COUNTRY, "USA") : text;

export const fold = (text: string): string => text.normalize("NFKD").replace(MARKS, "").toLowerCase();

/** @param language ISO 639-1, of most texts: an "elf" is 11 in Dutch alone, and "ten" is 10 in English alone */
export function wordsOf(text: string, language: string): Word[] {
  const plain = withCountry(text)
    .replace(APOSTROPHES, "'")
    .normalize("NFKC")
    .replace(GLUED, (word) => (isGluable(word) ? `${word} ` : word))
    .replaceAll("\u2212", "-")
    .replace(WITH, (_, out) => (out ? "without" : "with "));
  const found = [...plain.matchAll(WORD)].slice(0, WORDS);
  // Where nearly every word has a capital, capitals mark nothing.
  const capitals = found.filter(([word]) => isCapital(word)).length;
  const telling = capitals <= 2 || capitals < 0.6 * found.length;
  let end = 0;
  const words = found.map((match, index) => {
    const [word] = match;
    const between = plain.slice(Math.max(0, end - 6), match.index);
    end = match.index + word.length;
    const first = index === 0 || (SENTENCE_END.test(between) && !ABBREVIATION.test(between));
    const capital = telling && !first && isCapital(word) && word !== "I" && !word.startsWith("I'");
    const letter = LETTER.test(word) && !NO_CODE.has(word) && (capital || !isCapital(word));
    return {
      text: (SIGNS.get(word) ?? fold(word)).replace(/\u2019/g, "'").slice(0, WORD_CHARS),
      first,
      number: letter || CODE.test(word),
      capital: capital && !letter,
    };
  });
  return withUnits(inDigits(words, language));
}

/** What a number counts is part of it, and so is a letter behind the word for a size: m, s. */
const withUnits = (words: readonly Word[]): Word[] =>
  words.map((word, at) =>
    isUnitAt(words, at) || (/^\p{L}$/u.test(word.text) && SIZES.has(words[at - 1]?.text ?? ""))
      ? { ...word, number: true, capital: false }
      : word,
  );

/** "Three" is 3, or the guard of numbers would see neither that they are the same nor that two others differ. */
function inDigits(words: readonly Word[], language: string): Word[] {
  const texts = words.map(({ text }) => text);
  const read: Word[] = [];
  for (let at = 0; at < words.length; at++) {
    const word = words[at] as Word;
    const numeral = numeralInEitherAt(texts, at, language);
    read.push(numeral ? { ...word, text: numeral.digits, number: true, capital: false } : word);
    if (numeral) at += numeral.words - 1;
  }
  return read;
}

const isCapital = (word: string): boolean => /^\p{Lu}/u.test(word);
