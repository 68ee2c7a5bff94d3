// What forbids one answer for two questions, with what a scope has seen before; and what does not.
import { expect, test } from "vitest";
import { read, refusals, type Slot, slotReader } from "#actors/cache/semantic/guards.ts";
import { Lexicon } from "#actors/cache/semantic/lexicon.ts";
import { wordsOf } from "#actors/cache/semantic/words.ts";

const SEEN = [
  "How do I open a Basic plan?",
  "I want to close my Family plan",
  "where do you ship to",
  "to open the parcel",
  "how to close the account",
  "how long does the delivery take",
  "the delivery of a parcel",
  "is delivery free",
];

function guardsBetween(one: string, other: string, slots: readonly Slot[] = []): string[] {
  const lexicon = new Lexicon("en");
  for (const text of SEEN) lexicon.count(wordsOf(text), 1);
  const reader = slotReader(slots);
  const words = { lexicon, language: "en" };
  const refused = refusals(read(one, reader, words), read(other, reader, words), {
    ...words,
    about: new Set(),
  });
  return [...refused].map((guard) => guard.split(":")[0] ?? "");
}

test.each([
  ["change order 12345", "change order 12346", "number"],
  ["do you have size 42", "do you have size 43", "number"],
  ["invoice of Mr. Jones", "invoice of Mr. Smith", "value"],
  ["do you deliver to Rome", "do you deliver to Paris", "value"],
  ["ship a parcel to rome", "ship a parcel to paris", "contrast"],
  ["close the basic plan", "close the family plan", "value"],
  ["open a plan", "open a basic plan", "value"],
  ["closing gold card", "closing silver card", "contrast"],
  ["opening a new bronze account", "opening silver accounts", "value"],
  ["is the red one in stock", "is the blue one in stock", "value"],
  ["open aPro account", "open a Basic account", "value"],
  ["can I pay with a card", "can I not pay with a card", "negation"],
  ["how do I turn it on", "how do I turn it off", "opposite"],
  ["how to enable two-step login", "how to disable two-step login", "opposite"],
  ["how long does it take", "how much does it take", "question type"],
])("%s / %s: %s", (one, other, guard) => {
  expect(guardsBetween(one, other)).toContain(guard);
  expect(guardsBetween(other, one)).toContain(guard);
});

test.each([
  ["how do I close the account", "i dont know how to close the account"],
  ["how long does delivery take", "How long does the delvery take?"],
  ["please help me to open the parcel", "I need help to open the parcel"],
])("nothing forbids: %s / %s", (one, other) => {
  expect(guardsBetween(one, other)).toEqual([]);
});

test("a declared slot tells values apart that words do not", () => {
  const slots = [
    { name: "city", words: ["new york", "york"] },
    { name: "code", pattern: "[a-z]{2}-[a-z]{3}" },
  ];
  expect(guardsBetween("to york", "to york")).toEqual([]);
  expect(guardsBetween("open the parcel ab-cde", "open the parcel ab-cdf", slots)).toContain("slot");
  expect(guardsBetween("new york", "york", slots)).toContain("slot");
});
