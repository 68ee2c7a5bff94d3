/** What forbids one answer for two questions, however near they are. */
import { denies, oppositeOf, type QuestionType, questionType } from "./grammar.ts";
import type { Lexicon } from "./lexicon.ts";
import { stemOf } from "./stem.ts";
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
  readonly denies: boolean;
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
export function read(text: string, slots: SlotReader, { lexicon, language }: Words): Reading {
  const words = lexicon.meant(wordsOf(text));
  return {
    words,
    texts: new Set(words.flatMap((word) => [word.text, stemOf(word.text, language)])),
    numbers: words
      .filter((word) => word.number)
      .map((word) => word.text)
      .sort(),
    slots: slots(text),
    denies: denies(words),
    type: questionType(words),
  };
}

export interface Context extends Words {
  /** Stems of the words that name the answer's documents: what the answer is about is no value in its questions. */
  readonly about: ReadonlySet<string>;
}

/** Each guard that speaks, with what it saw. */
export function refusals(asked: Reading, known: Reading, { lexicon, about }: Context): string[] {
  const refused: string[] = [];
  const differ = (name: string, one: readonly string[], other: readonly string[]): void => {
    if (one.join("\n") !== other.join("\n"))
      refused.push(`${name}: ${one.join(", ") || "-"} / ${other.join(", ") || "-"}`);
  };
  differ("number", asked.numbers, known.numbers);
  differ("slot", asked.slots, known.slots);
  const values = [
    ...lexicon.valuesOf(asked, known.texts, about),
    ...lexicon.valuesOf(known, asked.texts, about),
  ];
  if (values.length > 0) refused.push(`value: ${values.join(", ")}`);
  const contrast = lexicon.contrastOf(asked, known);
  if (contrast !== undefined) refused.push(`contrast: ${contrast}`);
  if (asked.denies !== known.denies) refused.push("negation");
  const opposite = oppositeOf(asked.texts, known.texts);
  if (opposite) refused.push(`opposite: ${opposite.join(" / ")}`);
  if (asked.type !== known.type && asked.type !== "other" && known.type !== "other")
    refused.push(`question type: ${asked.type} / ${known.type}`);
  return refused;
}
