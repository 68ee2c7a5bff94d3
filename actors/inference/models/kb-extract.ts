/**
 * Answers without a language model: quotes the part of the retrieved passages that fits the question best, word for
 * word, and names the document; or says that it does not know. It never writes a sentence of its own about a subject.
 */
import type { Citation } from "#contracts/content.ts";
import type { Passage } from "#contracts/job.ts";
import { NO_USAGE } from "#contracts/usage.ts";
import type { Model } from "../port.ts";
import { citationOf } from "./citations.ts";
import { isList, type Section, sectionsOf, sentencesOf } from "./sections.ts";
import { likeness, type Term, termsOf } from "./words.ts";

const UNKNOWN: Readonly<Record<string, string>> = {
  en: "I could not find an answer to that in the knowledge base. You could ask it in other words.",
  nl: "Daarover kan ik in de kennisbank geen antwoord vinden. Misschien kun je de vraag anders stellen.",
};

/** Share of the question's subject, by weight, that the quoted section must cover. */
const ENOUGH = 0.45;
/** A section longer than this is not quoted whole. */
const SECTION_CHARS = 700;
const QUOTED_SENTENCES = 3;
/** A passage in another language than the question's is quoted only where nothing else fits. */
const OTHER_LANGUAGE = 0.8;
const WEAK_WEIGHT = 0.6;
const BODY_SHARE = 0.85;
/** How much the order of the retrieved passages counts, next to the words they share with the question. */
const RETRIEVAL_SHARE = 0.5;
const WORDS_AT_ONCE = 4;
/** Of a message that asks more, the last ones are looked at alone: each costs a look at every word of the passages. */
const QUESTIONS = 8;

export interface Extract {
  readonly text: string;
  readonly citations: readonly Citation[];
}

export function kbExtractModel(name = "kb-extract"): Model {
  return {
    name,
    provider: "kb-extract",
    async run(job, { onText }) {
      const { text, citations } = extract(job.question, job.passages, job.locale);
      for (const [words] of text.matchAll(new RegExp(`(?:\\S*\\s+){1,${WORDS_AT_ONCE}}|\\S+$`, "g")))
        onText(words);
      return { text, citations, usage: NO_USAGE, finish: "stop" };
    },
  };
}

/** The answer to a question, from these passages alone. */
export function extract(question: string, passages: readonly Passage[], locale: string): Extract {
  const language = languageOf(locale);
  const sections = sectionsOf(passages);
  // In "I bought a lamp. How do I return it?" the second sentence alone is the question.
  const questions = new Set(sentencesOf(question).filter((sentence) => sentence.endsWith("?")));
  const asked = [question, ...[...questions].slice(-QUESTIONS)];
  const found = asked
    .map((text) => bestFor(text, sections, language))
    .reduce((a, b) => (b.score > a.score ? b : a));
  // What shares no word with the question may be its answer all the same, where its meaning was found to be.
  const section = found.section ?? sections.find(({ passage }) => passage.near);
  if (!section) return { text: UNKNOWN[language] ?? (UNKNOWN.en as string), citations: [] };
  const text = quote(section, found);
  return { text, citations: [{ ...citationOf(section.passage), passage: text }] };
}

interface Asked {
  readonly terms: readonly Term[];
  readonly weights: ReadonlyMap<string, number>;
  readonly language: string;
}
interface Found extends Asked {
  readonly section: Section | undefined;
  readonly score: number;
}

function bestFor(question: string, sections: readonly Section[], language: string): Found {
  const terms = uniqueTerms(question, language);
  const asked: Asked = { terms, weights: weigh(terms, sections, language), language };
  let found: Found = { ...asked, section: undefined, score: 0 };
  // Words such as "how long" say nothing about a subject.
  if (terms.every(({ weak }) => weak)) return found;
  for (const section of sections) {
    const score = scoreOf(section, asked);
    if (score > found.score) found = { ...asked, section, score };
  }
  return found;
}

const languageOf = (locale: string): string => locale.slice(0, 2).toLowerCase();

/** The language of a section's document; one that nobody knows is taken for the question's. */
const spokenIn = ({ passage }: Section, asked: string): string =>
  passage.locale === undefined ? asked : languageOf(passage.locale);

function uniqueTerms(text: string, language: string): Term[] {
  return [...new Map(termsOf(text, language).map((term) => [term.stem, term])).values()];
}

/** Rare words weigh more; a word that no passage has weighs most: it is what the answer would have to be about. */
function weigh(terms: readonly Term[], sections: readonly Section[], language: string): Map<string, number> {
  const texts = sections.map((section) =>
    termsOf(`${section.heading}\n${section.blocks.join("\n")}`, spokenIn(section, language)),
  );
  return new Map(
    terms.map(({ stem, weak }) => {
      const holding = texts.filter((words) => words.some((word) => likeness(word.stem, stem) > 0)).length;
      const rarity = 1 + 0.5 * Math.log((sections.length + 1) / (holding + 1));
      return [stem, weak ? rarity * WEAK_WEIGHT : rarity];
    }),
  );
}

/** 0 for a section that is about something else; else how well it fits. */
function scoreOf(section: Section, { terms, weights, language }: Asked): number {
  const spoken = spokenIn(section, language);
  const heading = termsOf(section.heading, spoken);
  const body = termsOf(section.blocks.join("\n"), spoken);
  const { title: named, tags = [] } = section.passage;
  const title = termsOf([named, ...tags].join("\n"), spoken);
  const subject = { covered: 0, all: 0 };
  const whole = { covered: 0, all: 0 };
  for (const { stem, weak } of terms) {
    const weight = weights.get(stem) ?? 0;
    const inText = Math.max(best(stem, body), best(stem, title)) * BODY_SHARE;
    const covered = weight * Math.max(best(stem, heading), inText);
    for (const sum of weak ? [whole] : [whole, subject]) {
      sum.covered += covered;
      sum.all += weight;
    }
  }
  if (subject.covered < subject.all * ENOUGH) return 0;
  // Retrieval knows synonyms and whole documents, coverage knows what is to be quoted: both have a say. Between equals
  // the section wins whose heading asks just this.
  const asked =
    heading.length === 0 ? 0 : heading.filter(({ stem }) => best(stem, terms) > 0).length / heading.length;
  const trust = RETRIEVAL_SHARE * section.standing + 1 - RETRIEVAL_SHARE;
  return (
    (whole.covered / whole.all) * (spoken === language ? 1 : OTHER_LANGUAGE) * (1 + 0.15 * asked) * trust
  );
}

function best(stem: string, words: readonly Term[]): number {
  return words.reduce((most, word) => Math.max(most, likeness(word.stem, stem)), 0);
}

/** The whole section where it is short; else its best sentences, or its list with the line that leads to it. */
function quote(section: Section, asked: Asked): string {
  const whole = section.blocks.join("\n\n");
  if (whole.length <= SECTION_CHARS) return whole;
  const spoken = spokenIn(section, asked.language);
  const scored = section.blocks.map((block, at) => ({ block, at, score: overlap(block, spoken, asked) }));
  const chosen = scored.reduce((a, b) => (b.score > a.score ? b : a));
  if (isList(chosen.block)) {
    const lead = section.blocks[chosen.at - 1];
    return lead !== undefined && !isList(lead) ? `${lead}\n\n${chosen.block}` : chosen.block;
  }
  const sentences = sentencesOf(chosen.block);
  let start = 0;
  let most = -1;
  for (const [at, sentence] of sentences.entries()) {
    const score = overlap(sentence, spoken, asked);
    if (score > most) [start, most] = [at, score];
  }
  return sentences.slice(start, start + QUOTED_SENTENCES).join(" ");
}

function overlap(text: string, language: string, { terms, weights }: Asked): number {
  const words = termsOf(text, language);
  return terms.reduce((sum, { stem }) => sum + (weights.get(stem) ?? 0) * best(stem, words), 0);
}
