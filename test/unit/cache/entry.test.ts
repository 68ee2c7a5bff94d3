// When an answer is current: its documents are at the changes it was made from, and nothing newer is found for the question.
import { expect, test } from "vitest";
import { type CurrentRevisions, entryOf, hasNewText, isCurrent } from "#actors/cache/entry.ts";
import type { CacheQuery } from "#actors/cache/port.ts";

const passage = { collection: "c", document: "d", title: "D", text: "What it says.", score: 1 };
const query: CacheQuery = {
  tenant: "acme",
  assistant: "a",
  assistantVersion: "1",
  tier: "small",
  locale: "en",
  question: "What does it say?",
  passages: [{ ...passage, revision: 7, storedAt: 1_000 }],
  position: { revision: 9, storedAt: 1_200 },
};
const answer = {
  reply: "What it says.",
  citations: [{ collection: "c", document: "d", revision: 7, title: "D", passage: "What it says." }],
  model: "m",
};
const entry = entryOf("id", query, answer, "origin", 5_000);
const revisionsAt = (revision: number, storedAt: number): CurrentRevisions => ({
  changeOf: () => ({ revision, storedAt }),
  fresh: () => true,
  position: revision,
  newestAt: storedAt,
});

test("an answer is current while its documents are at the very changes that it was made from", () => {
  expect(isCurrent(entry, "acme", revisionsAt(7, 1_000))).toBe(true);
  expect(isCurrent(entry, "acme", revisionsAt(8, 1_100))).toBe(false);
  // After a restore the number was given to another change.
  expect(isCurrent(entry, "acme", revisionsAt(7, 2_000))).toBe(false);
  expect(isCurrent(entry, "other", revisionsAt(7, 1_000))).toBe(false);
});

test("what cites a change that was not among its passages is never current", () => {
  const other = entryOf("id", { ...query, passages: [] }, answer, "origin", 5_000);
  expect(isCurrent(other, "acme", revisionsAt(7, 1_000))).toBe(false);
});

test("new text is what has a higher number, and what was stored later under a lower one", () => {
  const found = (revision: number, storedAt: number): boolean =>
    hasNewText(entry, { passages: [{ ...passage, revision, storedAt }] });
  expect(found(9, 1_200)).toBe(false);
  expect(found(10, 1_300)).toBe(true);
  expect(found(8, 2_000)).toBe(true);
  expect(found(3, 500)).toBe(false);
});
