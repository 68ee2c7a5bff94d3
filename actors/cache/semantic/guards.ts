/** What forbids one answer for two questions, however near they are. */
import {
  deniedBy,
  isFunctionWord,
  isOtherWay,
  type Relation,
  relationsOf,
  spokenIn,
  timesOf,
  withoutDenial,
} from "./grammar.ts";
import type { Answer, Lexicon, Phrase, Spoken } from "./lexicon.ts";
import { oppositeOf, sidesOf } from "./opposites.ts";
import {
  dutyOf,
  formOf,
  isOfForm,
  type QuestionType,
  quantityOf,
  questionType,
  restricts,
  towardsOf,
} from "./question.ts";
import { differentNumbers, type Quantity, quantitiesOf } from "./units.ts";
import { type Word, wordsOf } from "./words.ts";

/** A value that a tenant declares: questions share an answer only when they name the same ones. */
export interface Slot {
  readonly name: string;
  /** A regular expression, without regard to case. */
  readonly pattern?: string | undefined;
  /** Or the words themselves; several forms of one value are told apart. */
  readonly words?: readonly string[] | undefined;
}

/** A question taken apart. */
export interface Reading {
  readonly words: readonly Word[];
  /** The words and their stems. */
  readonly texts: ReadonlySet<string>;
  /** The same with what may be no slip of typing as it was written: another letter in place of one, shirts and shorts. */
  readonly written: Phrase;
  readonly numbers: readonly Quantity[];
  readonly slots: readonly string[];
  /** What it denies. */
  readonly denied: readonly string[];
  readonly relations: readonly Relation[];
  readonly type: QuestionType;
  readonly form: ReturnType<typeof formOf>;
  /** Days as seen from now, and their parts. */
  readonly times: readonly string[];
  /** What else its small words tell; each undefined where they tell nothing. */
  readonly spoken: ReturnType<typeof spokenIn>;
  readonly duty: ReturnType<typeof dutyOf>;
  readonly towards: ReturnType<typeof towardsOf>;
  readonly restricts: boolean;
  readonly quantity: string | undefined;
}

/** What a scope knows of its words. */
export interface Words {
  readonly lexicon: Lexicon;
  readonly language: string;
}

/** The declared values in a text, sorted. */
export type SlotReader = (text: string) => string[];

export function slotReader(slots: readonly Slot[]): SlotReader {
  const patterns = slots.flatMap(({ name, pattern, words = [] }) => [
    ...(pattern === undefined ? [] : [[name, new RegExp(pattern, "giu")] as const]),
    ...words.map(
      (word) => [name, new RegExp(`(?<![\\p{L}\\p{N}])${literal(word)}(?![\\p{L}\\p{N}])`, "giu")] as const,
    ),
  ]);
  return (text) =>
    patterns
      .flatMap(([name, pattern]) =>
        [...text.matchAll(pattern)].map(([value]) => `${name} ${value.toLowerCase()}`),
      )
      .sort();
}

const literal = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/** Takes a text apart, its slips of typing mended by what the scope knows. */
export function read(
  text: string,
  slots: SlotReader,
  { lexicon, language }: Words,
  written: readonly Word[] = wordsOf(text, language),
): Reading {
  const words = lexicon.meant(written);
  const textsOf = (all: readonly Word[]): Set<string> =>
    new Set(all.flatMap(({ text }) => [text, lexicon.stemOf(text)]));
  const texts = textsOf(words);
  const plain = words.map((word) => word.text).join(" ");
  const type = questionType(plain);
  const doubtful = words.map((word, at) => {
    const other = written[at] as Word;
    return isOtherLetter(word.text, other.text) ? other : word;
  });
  const isDoubtful = doubtful.some((word, at) => word !== words[at]);
  return {
    words,
    texts,
    written: { words: doubtful, texts: isDoubtful ? textsOf(doubtful) : texts },
    numbers: quantitiesOf(words),
    slots: slots(text),
    denied: deniedBy(words),
    relations: relationsOf(words),
    type,
    form: formOf(plain, type),
    times: timesOf(words),
    spoken: spokenIn(words),
    duty: dutyOf(plain),
    towards: towardsOf(plain),
    restricts: restricts(words),
    quantity: quantityOf(words),
  };
}

/** A letter too many or too few, or two that changed places, is a slip; another letter may make another word. */
function isOtherLetter(one: string, other: string): boolean {
  if (one.length !== other.length) return false;
  let differing = 0;
  for (let at = 0; at < one.length; at++) if (one[at] !== other[at]) differing++;
  return differing === 1;
}

export interface Context extends Words, Answer {
  /** Whether no question that had this answer has the word, some have it, or only those. */
  readonly spoken: Spoken;
}

/** Each guard that speaks, with what it saw; the cheap ones first, for those who only ask whether one does. */
export function* refusals(asked: Reading, known: Reading, answer: Context): Generator<string> {
  const { lexicon, spoken, tells } = answer;
  const numbers = differentNumbers(asked.numbers, known.numbers);
  if (numbers !== undefined) yield `number: ${numbers}`;
  if (differ(asked.slots, known.slots)) yield `slot: ${against(asked.slots, known.slots)}`;
  const denied = deniedOf(asked, known, lexicon) ?? deniedOf(known, asked, lexicon);
  if (denied !== undefined) yield `negation: ${denied}`;
  const turned = turnedOf(asked, known);
  if (turned !== undefined) yield `direction: ${turned}`;
  if (asked.type !== known.type && asked.type !== "other" && known.type !== "other")
    yield `question type: ${asked.type} / ${known.type}`;
  if (
    known.times.length > 0 &&
    asked.times.length > 0 &&
    !asked.times.some((time) => known.times.includes(time))
  )
    yield `time: ${against(asked.times, known.times)}`;
  if (areTwo(asked.spoken, known.spoken)) yield `language: ${asked.spoken} / ${known.spoken}`;
  if (areTwo(asked.duty, known.duty)) yield `duty: ${asked.duty} / ${known.duty}`;
  if (areTwo(asked.form, known.form) && sayTheSame(asked, known, lexicon))
    yield `question form: ${asked.form} / ${known.form}`;
  if (areTwo(asked.towards, known.towards) && sayTheSame(asked, known, lexicon))
    yield `role: towards ${asked.towards} / ${known.towards}`;
  if (asked.restricts !== known.restricts) yield "restriction: only";
  const values = [
    ...lexicon.differencesOf(asked, known.texts, answer).values,
    ...lexicon.differencesOf(known, asked.texts, answer).values,
  ];
  if (values.length > 0) yield `value: ${values.join(", ")}`;
  const contrast = lexicon.contrastOf(asked, known, tells);
  if (contrast !== undefined) yield `contrast: ${contrast}`;
  if (asked.quantity !== known.quantity)
    yield `quantity: ${asked.quantity ?? "-"} / ${known.quantity ?? "-"}`;
  const exchange = lexicon.exchangeOf(asked.written, known.written, spoken);
  if (exchange !== undefined) yield `exchange: ${exchange}`;
  const places = exchangedIn(asked, known, answer);
  if (places !== undefined) yield `places: ${places}`;
  const opposite = oppositeOf(sidesOf(asked), sidesOf(known));
  if (opposite) yield `opposite: ${opposite.join(" / ")}`;
  const contrary = contraryOf(asked, known, lexicon) ?? contraryOf(known, asked, lexicon);
  if (contrary !== undefined) yield `opposite: ${contrary}`;
}

const areTwo = (one: string | undefined, other: string | undefined): boolean =>
  one !== undefined && other !== undefined && one !== other;

/** All but small words of both are the same. */
function sayTheSame(one: Reading, other: Reading, lexicon: Lexicon): boolean {
  const saysAll = ({ words }: Reading, texts: ReadonlySet<string>): boolean =>
    words.every(({ text }) => isOfForm(text) || texts.has(text) || texts.has(lexicon.stemOf(text)));
  return saysAll(one, other.texts) && saysAll(other, one.texts);
}

const JOINING: ReadonlySet<string> = new Set(["and", "or", "en", "of"]);

/**
 * What differs where two texts are the same word by word but for one or two: another word in one place, which this answer
 * was never asked for with (a cat, a dog), "and" for "or", or two words in each other's place, the seller pays the buyer.
 */
function exchangedIn(asked: Reading, known: Reading, { lexicon, spoken }: Context): string | undefined {
  const [ours, others] = [asked.words, known.words];
  if (ours.length !== others.length) return undefined;
  const places: number[] = [];
  for (const [at, { text }] of ours.entries())
    if (text !== others[at]?.text && places.push(at) > 2) return undefined;
  const [first, last = first] = places;
  if (first === undefined || last === undefined) return undefined;
  const [came, gone] = [ours[first] as Word, others[first] as Word];
  const one = { words: [came], texts: asked.texts };
  const other = { words: [gone], texts: known.texts };
  const isOther = lexicon.exchangeOf(one, other, (word) => (word === gone ? "alone" : spoken(word)));
  if (first === last)
    return isOther !== undefined || (JOINING.has(came.text) && JOINING.has(gone.text))
      ? `${came.text} / ${gone.text}`
      : undefined;
  const between = ours.slice(first + 1, last).map(({ text }) => text);
  const isTurned = came.text === others[last]?.text && gone.text === ours[last]?.text;
  const isJoined = between.length === 0 || between.some((text) => JOINING.has(text));
  return isTurned && !isJoined && !isFunctionWord(came.text) && !isFunctionWord(gone.text)
    ? `${came.text} ${between.join(" ")} ${gone.text}`
    : undefined;
}

/** A word that the other has without its denying syllable. */
function contraryOf({ words, texts }: Reading, other: Reading, lexicon: Lexicon): string | undefined {
  return words.find(({ text }) => {
    const bare = withoutDenial(text);
    if (bare === undefined || texts.has(bare) || other.texts.has(text)) return false;
    return other.texts.has(bare) || other.texts.has(lexicon.stemOf(bare));
  })?.text;
}

/**
 * What one denies and the other says. "It does not work" and "it is broken" are no contradiction. Where both deny
 * something, each has to say what the other denies: a card but not cash, cash but not a card.
 */
function deniedOf(one: Reading, other: Reading, lexicon: Lexicon): string | undefined {
  const here = saidAgainst(one, other, lexicon);
  return other.denied.length === 0 || saidAgainst(other, one, lexicon) !== undefined ? here : undefined;
}

function saidAgainst(one: Reading, other: Reading, lexicon: Lexicon): string | undefined {
  const stems = other.denied.map((text) => lexicon.stemOf(text));
  return one.denied.find((text) => {
    const stem = lexicon.stemOf(text);
    if (text === "") return stems.length === 0;
    return !stems.includes(stem) && (other.texts.has(text) || other.texts.has(stem));
  });
}

/** Both name the same two in exchange: from Rome to Paris, from Paris to Rome; points to vouchers, vouchers to points. */
function turnedOf(asked: Reading, known: Reading): string | undefined {
  const way = otherWayOf(asked, known);
  if (way !== undefined) return way;
  for (const { word, before, behind } of asked.relations)
    for (const other of known.relations) {
      if (other.word !== word) continue;
      const here = behind.find((end) => !other.behind.includes(end) && other.before.includes(end));
      const there = other.behind.find((end) => !behind.includes(end) && before.includes(end));
      if (here !== undefined && there !== undefined)
        return `${there} ${word} ${here} / ${here} ${word} ${there}`;
    }
  return undefined;
}

/** The same is done from there in one of both, and to there in the other: ship from rome, ship to rome. */
function otherWayOf(asked: Reading, known: Reading): string | undefined {
  for (const { word, before, behind } of asked.relations)
    for (const other of known.relations) {
      if (!isOtherWay(word, other.word) || before.at(-1) !== other.before.at(-1)) continue;
      const end = behind.find((each) => other.behind.includes(each));
      if (end !== undefined) return `${word} / ${other.word} ${end}`;
    }
  return undefined;
}

/** How many words narrow a noun in one of both, where no guard speaks. */
export function remarksOf(asked: Reading, known: Reading, answer: Context): number {
  const { lexicon } = answer;
  return (
    lexicon.differencesOf(asked, known.texts, answer).remarks.length +
    lexicon.differencesOf(known, asked.texts, answer).remarks.length
  );
}

const differ = (one: readonly string[], other: readonly string[]): boolean =>
  one.join("\n") !== other.join("\n");

const against = (one: readonly string[], other: readonly string[]): string =>
  `${one.join(", ") || "-"} / ${other.join(", ") || "-"}`;
