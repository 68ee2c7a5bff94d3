/**
 * What may be answered from a cache and kept in one: turns that make sense by themselves and whose answer is the same
 * for everybody. Pure, some microseconds. Where it is not sure it says no: that costs a hit, the opposite an answer
 * that was meant for somebody else.
 */
import { CLOSING, DUTCH, ENGLISH, FOREIGN, OPENING, type Wording } from "./wording.ts";

/** Why a turn is not answered from a cache; bounded, as it labels metrics. */
export const UNCACHEABLE = [
  "empty",
  /** Too long to be anybody else's question. */
  "long",
  /** Holds a number, an address or a name of somebody. */
  "identifier",
  /** The answer depends on who asks. */
  "personal",
  /** Asks for a person. */
  "person",
  /** Greets or thanks. */
  "small-talk",
  /** Tells the bot how to behave. */
  "instruction",
  /** Answers a question of the bot. */
  "answer",
  /** Makes sense only with what was said before. */
  "context",
  /** A language whose wording is not known, in the middle of a conversation. */
  "language",
] as const;
export type Uncacheable = (typeof UNCACHEABLE)[number];

interface CacheableInput {
  /** What the user wrote in the burst that the turn answers. */
  readonly question: string;
  /** Decides between English and Dutch only where the words do not. */
  readonly locale: string;
  /** Something that matters was said before in the conversation. */
  readonly ongoing: boolean;
  /** The bot's last reply ended with a question, or nearly so. */
  readonly asked: boolean;
}

/**
 * `levels`: `both`; `response`, identical requests only, where the language is not known and nothing was said before,
 * so that the model sees nothing but the question; or `none`.
 */
export type Cacheability =
  | { readonly levels: "both" }
  | { readonly levels: "response" | "none"; readonly reason: Uncacheable };

const LONG_CHARS = 400;
/** With fewer words a message in mid-conversation rarely says all that it means. */
const FEW_WORDS = 3;
/** An answer to the bot's question may be a little longer. */
const ANSWER_WORDS = 6;

/** A question, and at most a short sentence, a source or a smiley behind it. */
const ASKING = /[?\uff1f][^?\uff1f]{0,80}$/u;
const WORDS = /[\p{L}\p{N}'-]+/gu;

const BOTH: Cacheability = { levels: "both" };
const none = (reason: Uncacheable): Cacheability => ({ levels: "none", reason });

export function cacheability({ question, locale, ongoing, asked }: CacheableInput): Cacheability {
  const original = question
    .replace(/[\u00b4`\u2018\u2019\u02bc\u2032]/gu, "'")
    .normalize("NFKC")
    .replace(/\s+/gu, " ")
    .trim();
  if (original === "") return none("empty");
  if (original.length > LONG_CHARS) return none("long");
  if (namesSomebody(original)) return none("identifier");
  const text = original.toLowerCase();
  const words = text.match(WORDS) ?? [];
  if (words.length === 0) return none("empty");
  const wording = wordingOf(words, locale);
  // Small talk has few words of any language.
  if (ENGLISH.smallTalk.test(text) || DUTCH.smallTalk.test(text)) return none("small-talk");
  if (!wording) return { levels: ongoing ? "none" : "response", reason: "language" };
  if (wording.person.test(text)) return none("person");
  if (wording.instruction.test(text)) return none("instruction");
  if (isPersonal(text, wording)) return none("personal");
  if (!ongoing) return dependsOnContext(text, wording) ? none("context") : BOTH;
  const questionMark = text.endsWith("?");
  const said = text.replace(OPENING, "").match(WORDS)?.length ?? 0;
  if (asked && !questionMark && (said <= ANSWER_WORDS || !wording.asks.test(text))) return none("answer");
  if (said < FEW_WORDS || dependsOnContext(text, wording)) return none("context");
  return BOTH;
}

/** What the cache has to know of a turn to say what may be done with it. */
export interface TurnAtHand {
  readonly question: string;
  readonly locale: string;
  /** What the model would see before the question, oldest first. */
  readonly earlier: readonly Earlier[];
}
export interface Earlier {
  readonly messages: readonly string[];
  readonly reply: string;
}

export type Judgement = Cacheability & {
  /**
   * An answer to this turn may be kept for others: whatever stands before the question is small talk, so the answer can
   * hold nothing of the conversation: no name, no country asked about before, no order how to answer from now on.
   */
  readonly keeps: boolean;
};

export function judge({ question, locale, earlier }: TurnAtHand): Judgement {
  const quiet = earlier.every(({ messages }) => messages.length > 0 && messages.every(isSmallTalk));
  const last = earlier.at(-1)?.reply ?? "";
  // Asked back after a greeting, anything may follow.
  const asked = !quiet && ASKING.test(last);
  const judged = cacheability({ question, locale, ongoing: !quiet, asked });
  return { ...judged, keeps: quiet && judged.levels !== "none" };
}

/** Greetings, thanks and the like, in a language whose wording is known. */
function isSmallTalk(text: string): boolean {
  if (text.length > LONG_CHARS) return false;
  const plain = text.normalize("NFKC").toLowerCase().replace(/\s+/gu, " ").trim();
  return ENGLISH.smallTalk.test(plain) || DUTCH.smallTalk.test(plain);
}

/** The language that more of the words are of; the locale decides a tie, and without any such word nobody knows. */
function wordingOf(words: readonly string[], locale: string): Wording | undefined {
  let english = 0;
  let dutch = 0;
  let foreign = 0;
  for (const word of words) {
    if (ENGLISH.function.has(word)) english++;
    if (DUTCH.function.has(word)) dutch++;
    if (FOREIGN.has(word)) foreign++;
  }
  const base = locale.toLowerCase().split(/[-_]/, 1)[0];
  const expected = base === "en" ? ENGLISH : base === "nl" ? DUTCH : undefined;
  const most = Math.max(english, dutch);
  if (foreign > most || (!expected && most < 2)) return undefined;
  return english > dutch ? ENGLISH : dutch > english ? DUTCH : expected;
}

function isPersonal(said: string, { personal, supposed, show, change, procedure, help }: Wording): boolean {
  const text = said.replace(supposed, "a");
  if (personal.some((pattern) => pattern.test(text))) return true;
  if (procedure.test(text)) return false;
  return show.test(text) || (change.test(text) && !help.test(text));
}

function dependsOnContext(text: string, { continues, empty, refers, antecedent }: Wording): boolean {
  const bare = text.replace(/[\s.,;:!?\u2026]+$/u, "").replace(CLOSING, "");
  if (continues.test(bare) || continues.test(bare.replace(OPENING, ""))) return true;
  const rest = bare.replace(empty, " ");
  const found = refers.exec(rest);
  return found !== null && !antecedent.test(rest.slice(0, found.index + 1));
}

const ABOUT_NUMBERS =
  /\b(order|orders|purchase|invoice|bill|ticket|case|customer|client|account|reference|ref|tracking|parcel|package|booking|policy|bestelling|bestelnummer|ordernummer|factuur|factuurnummer|klantnummer|klant|zaak|pakket|referentie|boeking|kenmerk)( (nr|no|num|number|id|code|nummer)\.?)?[ :#]*(is )?[a-z]{0,4}-?\d+/i;
const MONEY_OR_YEAR =
  /[\u20ac$\u00a3] ?[\d.,]+|[\d.,]+ ?(\u20ac|\$|\u00a3|%|euro?s?\b|usd\b|dollars?\b|pounds?\b|gbp\b)|\b(19|20)\d\d\b/giu;
/** Two names after a word that introduces a person. */
const PERSON = /\b(from|for|of|by|name|van|voor|door|naam):? \p{Lu}\p{Ll}+ \p{Lu}\p{Ll}+/u;
const TITLES =
  /\b([Mm]rs?|[Mm]s|[Mm]iss|[Dd]r|[Dd]hr|[Mm]evr|[Mm]evrouw|[Mm]eneer)\.? \p{Lu}\p{Ll}|\b(mr|mrs|ms|dhr|mevr)\. ?\p{L}|\b[Mm]y name(?: is|'s)\b|\b[Mm]ijn naam is\b|\b[Ii]k heet\b|\bI(?: am|'m) \p{Lu}\p{Ll}|\bIk ben \p{Lu}\p{Ll}/u;

/** Who writes says so without capitals: "hi im peter, ...", "this is ann from Acme", not "I am from Belgium, ...". */
const INTRODUCED =
  /\b(i'?m|i am|this is|ik ben|dit is) (?!(from|in|at|on|not|a|an|the|so|very|also|still|now|already|un\p{L}+|able|sorry|uit|van|een|de|het|niet|geen|heel|al|nog)\b)(?!\p{L}+ing\b)\p{L}+( \p{L}+)?( here\b|[,.;!]|( and| from| en| van| uit) )/iu;
const SIGNED =
  /\b(regards|sincerely|cheers|groet|groeten|groetjes|mvg)[\s,.!-]+\p{L}+( \p{L}+){0,3}[\s.]*$|\b([Tt]hanks|[Tt]hank you|[Tt]hx|[Bb]edankt|[Dd]ank je)[,!.]? \p{Lu}\p{Ll}+[\s.]*$/u;

function namesSomebody(original: string): boolean {
  if (/[^\s@]@[^\s@]+\.[^\s@]/u.test(original) || /#\s?\d/u.test(original)) return true;
  if (ABOUT_NUMBERS.test(original)) return true;
  if (/\b\d{4} ?[A-Z]{2}\b/u.test(original)) return true;
  const numbers = original.replace(MONEY_OR_YEAR, " ");
  // A phone number may be written in groups; a code mixes letters and digits.
  if (/\d{5,}/u.test(numbers) || /\+?\d[\d ().-]{6,}\d/u.test(numbers)) return true;
  // In a headline every word looks like a name.
  const words = original.split(" ");
  const headline = words.filter((word) => /^\p{Lu}/u.test(word)).length * 2 > words.length;
  if (TITLES.test(original) || INTRODUCED.test(original) || SIGNED.test(original)) return true;
  return !headline && PERSON.test(original);
}
