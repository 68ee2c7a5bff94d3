/**
 * A knowledge base of any size from a seed, with lengths and word frequencies like those of help pages, and questions
 * whose document is known. Each document and question is made from its number alone, so that processes share nothing.
 */
import type { DocumentInput } from "#contracts/knowledge.ts";
import { randomFrom } from "./shape.ts";

const COMMON =
  "the of to and a in is you for your it on we can with that this be are or if an not by from at when our order have will as do may has how please after any more one which what there their was were all no so up out about".split(
    " ",
  );
/** Distinct words besides the common ones. */
const WORDS = 60_000;
const COMMON_SHARE = 0.42;
const ONSETS = "b br c cl d dr f fl g gr h k l m n p pl pr qu r s sh sl st t th tr v w".split(" ");
const VOWELS = "a e i o u ea ou ai oo".split(" ");
const CODAS = "b d g k l m n nd ng nt p r rk rt s st t x".split(" ");
/** Words of a document: lognormal with this median and spread; a mean of about 190. */
const MEDIAN_WORDS = 130;
const SPREAD = 0.85;
const MOST_WORDS = 4_000;
const SECTION_WORDS = 110;
/** A question in so many has a typing error in its longest word. */
const TYPO_SHARE = 0.15;

type Random = () => number;
const pick = <T>(list: readonly T[], random: Random): T => list[Math.floor(random() * list.length)] as T;

export interface CorpusQuestion {
  readonly text: string;
  /** The document that it was made from; others may answer, too. */
  readonly document: string;
}

export class Corpus {
  readonly #seed: number;
  readonly #words: readonly string[];

  constructor(seed: number) {
    this.#seed = seed;
    const random = randomFrom(seed);
    const words = new Set<string>();
    while (words.size < WORDS) words.add(wordOf(random));
    this.#words = [...words];
  }

  /** `version` changes the text and keeps the id. */
  document(n: number, version = 0): { readonly document: string; readonly input: DocumentInput } {
    const random = this.#random(n, version);
    // What a document is about: words that it uses again and again.
    const topics = Array.from({ length: 6 }, () => this.#rare(random));
    const length = Math.min(MOST_WORDS, Math.round(MEDIAN_WORDS * Math.exp(SPREAD * normal(random))) + 10);
    const sections = Math.max(1, Math.round(length / SECTION_WORDS));
    const title = capital([pick(topics, random), pick(COMMON, random), pick(topics, random)].join(" "));
    const text = Array.from({ length: sections }, (_, section) => {
      const body = this.#prose(Math.ceil(length / sections), topics, random);
      const heading = `How ${pick(COMMON, random)} ${pick(topics, random)} ${this.#any(random)}?`;
      return section === 0 ? body : `## ${heading}\n\n${body}`;
    }).join("\n\n");
    return { document: `doc-${n}`, input: { title, text, locale: "en" } };
  }

  /** Four to eight words of one section of some document, common ones between, as somebody would ask for it. */
  question(n: number, documents: number): CorpusQuestion {
    const random = this.#random(n, 77);
    const { document, input } = this.document(Math.floor(random() * documents));
    const section = pick(input.text.split(/\n\n## /), random);
    const words = [...new Set(section.toLowerCase().match(/[a-z]{4,}/g) ?? [])].filter(
      (word) => !COMMON.includes(word),
    );
    const chosen = Array.from({ length: 2 + Math.floor(random() * 3) }, () => pick(words, random));
    if (random() < TYPO_SHARE) {
      const at = chosen.reduce((best, word, i) => (word.length > (chosen[best] ?? "").length ? i : best), 0);
      chosen[at] = typo(chosen[at] ?? "", random);
    }
    return { text: `${chosen.map((word) => `${pick(COMMON, random)} ${word}`).join(" ")}?`, document };
  }

  #random(n: number, salt: number): Random {
    const random = randomFrom((this.#seed * 0x9e3779b1 + n * 0x85ebca6b + salt * 0xc2b2ae35) >>> 0);
    random();
    return random;
  }

  #prose(words: number, topics: readonly string[], random: Random): string {
    const sentences: string[] = [];
    for (let left = words; left > 0; ) {
      const length = Math.min(left, 6 + Math.floor(random() * 14));
      const sentence = Array.from({ length }, () =>
        random() < COMMON_SHARE
          ? pick(COMMON, random)
          : random() < 0.25
            ? pick(topics, random)
            : this.#any(random),
      );
      sentences.push(`${capital(sentence.join(" "))}.`);
      left -= length;
    }
    return sentences.join(" ");
  }

  /** By Zipf's law: the word of rank r about as often as 1 / r. The first ranks are those of the common words. */
  #any(random: Random): string {
    return this.#word(COMMON.length, random);
  }

  #rare(random: Random): string {
    return this.#word(200, random);
  }

  #word(first: number, random: Random): string {
    return this.#words[Math.floor(first * ((WORDS + first) / first) ** random() - first)] as string;
  }
}

function wordOf(random: Random): string {
  const syllables = 1 + Math.floor(random() * 3);
  const parts = Array.from({ length: syllables }, () => pick(ONSETS, random) + pick(VOWELS, random));
  return parts.join("") + pick(CODAS, random);
}

/** Source: Box and Muller. */
const normal = (random: Random): number =>
  Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

const capital = (text: string): string => `${text[0]?.toUpperCase()}${text.slice(1)}`;

function typo(word: string, random: Random): string {
  const at = 1 + Math.floor(random() * (word.length - 1));
  return `${word.slice(0, at)}${word.slice(at + 1)}`;
}
