/**
 * What the questions of a scope tell about its words: which are names (written with a capital where the sentence asks
 * for none), which narrow a noun ("gold account"), which are verbs, and which are a common word misspelt. Counts only,
 * added and taken away with entries; no word of any data set is written here.
 */
import {
  isBeforeVerb,
  isClosedValue,
  isDeterminer,
  isFunctionWord,
  isGrammatical,
  isOtherPersonAt,
  isPreposition,
  isVariantAt,
} from "./grammar.ts";
import { isSided } from "./opposites.ts";
import { isSpellable, Spelling } from "./spelling.ts";
import { stemOf } from "./stem.ts";
import type { Word } from "./words.ts";

/** A word is a name when at least this share of its inner occurrences has a capital. */
const CAPITAL_SHARE = 0.25;
/** A word that narrows so many different nouns, each more than once, is an adjective of all work ("new"), no value. */
const GENERIC_HEADS = 4;
const SHORT = 4;
/** Words of a phrase after its article that are looked at. */
const PHRASE = 4;
/** How a place before a noun begins. */
const PLACE = "_ ";
/** A word seen so often is spelt as it is meant. */
const KNOWN = 3;

interface Counts {
  /** Cut once: a look-up asks for it again and again. */
  readonly stem: string;
  /** The word as texts write it, with a capital or first or not, each kept once. */
  readonly written: Word[];
  all: number;
  inner: number;
  capital: number;
  /** Times that it stood where verbs stand: before an article, after `to`, or after who does it. */
  verbal: number;
  /** Of these, before an article: what does something to a thing. */
  transitive: number;
  /** Nouns that it narrowed, after an article. */
  heads: Map<string, number> | undefined;
  /** How many of them it narrowed more than once. */
  often: number;
}

/** Words of a text, and the same as a set together with their stems. */
export interface Phrase {
  readonly words: readonly Word[];
  readonly texts: ReadonlySet<string>;
}

/** Who was asked for with a word: never this answer, this one too, or this one alone. */
export type Spoken = (word: Word) => "never" | "too" | "alone";

/** Does the answer depend on the word before this one? */
export type Tells = (place: {
  readonly text: string;
  readonly head: string;
  /** Both questions have the word after it. */
  readonly shared: boolean;
  /** It was seen narrowing that word. */
  readonly narrows: boolean;
}) => boolean;

/** What is known of the answer that two questions may share. */
export interface Answer {
  /** Stems of the words that name the answer's documents: what the answer is about is no value in its questions. */
  readonly about: ReadonlySet<string>;
  /** Is the word said with so many other answers that none can be told by it? */
  readonly isCommon: (text: string) => boolean;
  readonly tells: Tells;
}

export interface Differences {
  readonly values: readonly string[];
  /** Words that narrow a noun on which the answer does not depend. */
  readonly remarks: readonly string[];
}

export class Lexicon {
  readonly #words = new Map<string, Counts>();
  readonly #spelling = new Spelling();
  readonly #language: string;

  constructor(language: string) {
    this.#language = language;
  }

  /** Adds the words of a text as it was written, or with -1 takes them away. */
  count(words: readonly Word[], by: 1 | -1): void {
    for (const [at, word] of words.entries()) {
      const counts = this.#countsOf(word.text);
      counts.all += by;
      if (!word.first) counts.inner += by;
      if (word.capital) counts.capital += by;
      if (isVerbAt(words, at)) counts.verbal += by;
      if (isDeterminer(words[at + 1]?.text ?? "")) counts.transitive += by;
      if (!isSpellable(word.text)) continue;
      if (by === 1 && counts.all === KNOWN) this.#spelling.add(word.text);
      if (by === -1 && counts.all === KNOWN - 1) this.#spelling.remove(word.text);
    }
    for (const [modifier, next] of modifiersOf(words)) {
      const head = this.stemOf(next);
      const counts = this.#countsOf(modifier);
      counts.heads ??= new Map();
      const count = (counts.heads.get(head) ?? 0) + by;
      if (count > 0) counts.heads.set(head, count);
      else counts.heads.delete(head);
      if (count === (by === 1 ? 2 : 1)) counts.often += by;
    }
    // A word that no text has any more is forgotten.
    if (by === -1) for (const { text } of words) if (this.#all(text) <= 0) this.#words.delete(text);
  }

  /** The same words, each kept once however many texts have it; `count` them next. */
  kept(words: readonly Word[]): Word[] {
    const isSame = (one: Word, other: Word): boolean =>
      one.capital === other.capital && one.first === other.first && one.number === other.number;
    return words.map((word) => {
      const { written } = this.#countsOf(word.text);
      const kept = written.find((one) => isSame(one, word));
      if (!kept) written.push(word);
      return kept ?? word;
    });
  }

  /** The words as they were meant: a rare one that is a slip away from a known one is that one. */
  meant(words: readonly Word[]): Word[] {
    return words.map((word) => {
      const { text, capital } = word;
      if (capital || !isSpellable(text) || this.#all(text) >= KNOWN || isGrammatical(text) || isSided(text))
        return word;
      let best = text;
      for (const known of this.#spelling.near(text))
        if (this.#all(known) >= KNOWN && (best === text || this.#all(known) > this.#all(best))) best = known;
      return best === text ? word : { ...word, text: best };
    });
  }

  /** Values that a text names and another does not: names, closed classes, and words that narrow a noun. */
  differencesOf(
    { words }: Phrase,
    other: ReadonlySet<string>,
    { about, isCommon, tells }: Answer,
  ): Differences {
    const narrowing = new Set(modifiersOf(words).map(([modifier]) => modifier));
    const values = new Set<string>();
    const remarks = new Set<string>();
    for (const [at, word] of words.entries()) {
      const { text, number } = word;
      if (number || this.#has(other, text)) continue;
      if (isClosedValue(text) || isOtherPersonAt(words, at) || isVariantAt(words, at)) values.add(text);
      if (isFunctionWord(text) || isCommon(text)) continue;
      if (this.#isName(word)) values.add(text);
      if (about.has(this.stemOf(text)) || this.#isGeneric(text)) continue;
      const next = words[at + 1]?.text;
      const narrows = narrowing.has(text) || (next !== undefined && this.#narrows(text, next, other));
      if (tells({ text, head: next ?? "", shared: next !== undefined && this.#has(other, next), narrows }))
        values.add(text);
      else if (narrows) remarks.add(text);
    }
    return { values: [...values], remarks: [...remarks] };
  }

  /** Two different words in the same place of a phrase: gold account, free account; ship to Rome, ship to Paris. */
  contrastOf(one: Phrase, other: Phrase, tells: Tells): string | undefined {
    const places = new Map<string, string>();
    for (const [place, text] of this.#placesOf(one, other.texts)) places.set(place, text);
    for (const [place, text] of this.#placesOf(other, one.texts)) {
      const mine = places.get(place);
      if (mine === undefined) continue;
      if (!place.startsWith(PLACE)) return `${mine} / ${text}`;
      const head = place.slice(PLACE.length);
      if ([mine, text].some((one) => tells({ text: one, head, shared: true, narrows: true })))
        return `${mine} / ${text}`;
    }
    return undefined;
  }

  stemOf(text: string): string {
    return this.#words.get(text)?.stem ?? stemOf(text, this.#language);
  }

  /**
   * One word in exchange for another in what is otherwise the same: the falcon's version, the zebra's. Where only this
   * answer was asked for with the word that is gone, and never with the one that came, that word is what it is about.
   */
  exchangeOf(asked: Phrase, known: Phrase, spoken: Spoken): string | undefined {
    const [came, ...more] = this.#ownOf(asked, known.texts);
    const [gone, ...others] = this.#ownOf(known, asked.texts);
    if (!came || !gone || more.length + others.length > 0) return undefined;
    return spoken(came) === "never" && spoken(gone) === "alone" ? `${came.text} / ${gone.text}` : undefined;
  }

  /** What a text says and another does not, small words, verbs and numbers apart. */
  #ownOf({ words }: Phrase, other: ReadonlySet<string>): Word[] {
    return words.filter(
      ({ text, number }) =>
        !number && !isFunctionWord(text) && !this.#has(other, text) && !this.isVerbal(text),
    );
  }

  *#placesOf({ words }: Phrase, other: ReadonlySet<string>): Iterable<[place: string, text: string]> {
    for (const [at, { text, number }] of words.entries()) {
      if (number || isFunctionWord(text) || this.#has(other, text) || this.isVerbal(text)) continue;
      const next = words[at + 1]?.text;
      if (next !== undefined && !isFunctionWord(next)) yield [`${PLACE}${this.stemOf(next)}`, text];
      const [before, farBefore] = [words[at - 1]?.text, words[at - 2]?.text];
      if (before === undefined || farBefore === undefined) continue;
      if (isPreposition(before) && !isFunctionWord(farBefore))
        yield [`${this.stemOf(farBefore)} ${before} _`, text];
      // "To cancel" and "to change" may be the same; "from rome" and "from paris" are not.
      else if (isPreposition(before) && before !== "to") yield [`${before} _`, text];
    }
  }

  #narrows(text: string, next: string, other: ReadonlySet<string>): boolean {
    if ((this.#words.get(text)?.heads?.get(this.stemOf(next)) ?? 0) > 0) return true;
    // Nothing is known of it yet: before a noun that both texts have, it counts as narrowing unless it is a verb.
    return !isFunctionWord(next) && this.#has(other, next) && !this.isVerbal(text);
  }

  #isName(word: Word): boolean {
    const { inner = 0, capital = 0 } = this.#words.get(word.text) ?? {};
    const capitals = capital + (word.capital ? 1 : 0);
    return capitals > 0 && capitals >= CAPITAL_SHARE * (inner + 1);
  }

  #isGeneric(text: string): boolean {
    return (this.#words.get(text)?.often ?? 0) >= GENERIC_HEADS;
  }

  /** Nouns that it narrowed, after an article, as stems. */
  headsOf(text: string): Iterable<string> {
    return this.#words.get(text)?.heads?.keys() ?? [];
  }

  /** Does it stand before articles? "To gold account" makes no verb of gold. */
  isTransitive(text: string): boolean {
    return (this.#words.get(text)?.transitive ?? 0) > 0;
  }

  isVerbal(text: string): boolean {
    return (this.#words.get(text)?.verbal ?? 0) > 0;
  }

  #has(texts: ReadonlySet<string>, text: string): boolean {
    if (texts.has(text) || texts.has(this.stemOf(text))) return true;
    // Short words have no stem: dog, dogs.
    return (
      text.length <= SHORT && (texts.has(`${text}s`) || (text.endsWith("s") && texts.has(text.slice(0, -1))))
    );
  }

  #all(text: string): number {
    return this.#words.get(text)?.all ?? 0;
  }

  #countsOf(text: string): Counts {
    let counts = this.#words.get(text);
    if (!counts) {
      const stem = stemOf(text, this.#language);
      counts = {
        stem,
        written: [],
        all: 0,
        inner: 0,
        capital: 0,
        verbal: 0,
        transitive: 0,
        heads: undefined,
        often: 0,
      };
      this.#words.set(text, counts);
    }
    return counts;
  }
}

const isVerbAt = (words: readonly Word[], at: number): boolean =>
  isDeterminer(words[at + 1]?.text ?? "") || isBeforeVerb(words[at - 1]?.text ?? "");

/** In each phrase after an article the words before its last, with the word that follows them. */
function modifiersOf(words: readonly Word[]): [modifier: string, head: string][] {
  const found: [string, string][] = [];
  const belongs = (word: Word | undefined): word is Word =>
    word !== undefined && !word.number && !isFunctionWord(word.text);
  for (const [at, { text }] of words.entries()) {
    if (!isDeterminer(text)) continue;
    for (let n = at + 1; n < at + PHRASE; n++) {
      const [word, next] = [words[n], words[n + 1]];
      if (!belongs(word) || !belongs(next)) break;
      // A single letter is what typing left over.
      if (word.text.length > 1) found.push([word.text, next.text]);
    }
  }
  return found;
}
