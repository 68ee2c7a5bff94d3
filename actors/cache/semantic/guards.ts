/** What forbids one answer for two questions, however near they are. */
import { denies, oppositeOf, type QuestionType, questionType } from "./function-words.ts";
import type { Lexicon } from "./lexicon.ts";
import { type Word, wordsOf } from "./words.ts";

/** A value that a tenant declares: questions share an answer only when they name the same ones. */
export interface Slot {
  readonly name: string;
  /** A regular expression, without regard to case. */
  readonly pattern?: string | undefined;
  /** Or the words themselves; several forms of one value are told apart. */
  readonly words?: readonly string[] | undefined;
}

/** A question taken apart once. */
export interface Reading {
  readonly words: readonly Word[];
  readonly texts: ReadonlySet<string>;
  readonly numbers: readonly string[];
  readonly slots: readonly string[];
  readonly denies: boolean;
  readonly type: QuestionType;
}

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

export function read(text: string, slots: SlotReader): Reading {
  const words = wordsOf(text);
  return {
    words,
    texts: new Set(words.map((word) => word.text)),
    numbers: words
      .filter((word) => word.number)
      .map((word) => word.text.replace(/^0+(?=\d)/, ""))
      .sort(),
    slots: slots(text),
    denies: denies(words),
    type: questionType(words),
  };
}

/** Each guard that speaks, with what it saw. */
export function refusals(asked: Reading, known: Reading, lexicon: Lexicon): string[] {
  const refused: string[] = [];
  const differ = (name: string, one: readonly string[], other: readonly string[]): void => {
    if (one.join("\n") !== other.join("\n"))
      refused.push(`${name}: ${one.join(", ") || "-"} / ${other.join(", ") || "-"}`);
  };
  differ("number", asked.numbers, known.numbers);
  differ("slot", asked.slots, known.slots);
  const [mine, theirs] = [lexicon.valuesOf(asked.words), lexicon.valuesOf(known.words)];
  const missing = [...mine]
    .filter((value) => !known.texts.has(value))
    .concat([...theirs].filter((value) => !asked.texts.has(value)));
  if (missing.length > 0) refused.push(`name: ${missing.join(", ")}`);
  if (asked.denies !== known.denies) refused.push("negation");
  const opposite = oppositeOf(asked.texts, known.texts);
  if (opposite) refused.push(`opposite: ${opposite.join(" / ")}`);
  if (asked.type !== known.type && asked.type !== "other" && known.type !== "other")
    refused.push(`question type: ${asked.type} / ${known.type}`);
  return refused;
}
