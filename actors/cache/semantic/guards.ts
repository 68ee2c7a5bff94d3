/** What forbids one answer for two questions, however near they are. */
import { deniedBy, oppositeOf, type QuestionType, questionType, wayOf } from "./grammar.ts";
import type { Answer, Lexicon, Spoken } from "./lexicon.ts";
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
  readonly numbers: readonly string[];
  readonly slots: readonly string[];
  /** What it denies. */
  readonly denied: readonly string[];
  /** Where something comes from, and where it goes. */
  readonly way: readonly [from: readonly string[], to: readonly string[]];
  readonly type: QuestionType;
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
  return {
    words,
    texts: new Set(words.flatMap(({ text }) => [text, lexicon.stemOf(text)])),
    numbers: words
      .filter((word) => word.number)
      .map((word) => word.text)
      .sort(),
    slots: slots(text),
    denied: deniedBy(words),
    way: wayOf(words),
    type: questionType(words),
  };
}

export interface Context extends Words, Answer {
  /** Whether no question that had this answer has the word, some have it, or only those. */
  readonly spoken: Spoken;
}

/** Each guard that speaks, with what it saw; the cheap ones first, for those who only ask whether one does. */
export function* refusals(asked: Reading, known: Reading, answer: Context): Generator<string> {
  const { lexicon, spoken, tells } = answer;
  if (differ(asked.numbers, known.numbers)) yield `number: ${against(asked.numbers, known.numbers)}`;
  if (differ(asked.slots, known.slots)) yield `slot: ${against(asked.slots, known.slots)}`;
  const denied = deniedOf(asked, known, lexicon) ?? deniedOf(known, asked, lexicon);
  if (denied !== undefined) yield `negation: ${denied}`;
  const turned = turnedOf(asked, known);
  if (turned !== undefined) yield `direction: ${turned}`;
  if (asked.type !== known.type && asked.type !== "other" && known.type !== "other")
    yield `question type: ${asked.type} / ${known.type}`;
  const values = [
    ...lexicon.differencesOf(asked, known.texts, answer).values,
    ...lexicon.differencesOf(known, asked.texts, answer).values,
  ];
  if (values.length > 0) yield `value: ${values.join(", ")}`;
  const contrast = lexicon.contrastOf(asked, known, tells);
  if (contrast !== undefined) yield `contrast: ${contrast}`;
  const exchange = lexicon.exchangeOf(asked, known, spoken);
  if (exchange !== undefined) yield `exchange: ${exchange}`;
  const opposite = oppositeOf(asked.texts, known.texts);
  if (opposite) yield `opposite: ${opposite.join(" / ")}`;
}

/** What one denies and the other says. "It does not work" and "it is broken" are no contradiction. */
function deniedOf(one: Reading, other: Reading, lexicon: Lexicon): string | undefined {
  if (other.denied.length > 0) return undefined;
  return one.denied.find(
    (text) => text === "" || other.texts.has(text) || other.texts.has(lexicon.stemOf(text)),
  );
}

/** Both name the same two, and go the other way: from Rome to Paris, from Paris to Rome. */
function turnedOf({ way: [from, to] }: Reading, { way: [otherFrom, otherTo] }: Reading): string | undefined {
  const there = to.find((end) => otherFrom.includes(end) && !from.includes(end));
  const back = from.find((end) => otherTo.includes(end) && !to.includes(end));
  return there === undefined || back === undefined ? undefined : `${there} / ${back}`;
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
