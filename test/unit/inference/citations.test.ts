// Markers of an answer become citations: unique documents in the order of first use, inventions name nothing.
import { expect, test } from "vitest";
import { citationsOf } from "#actors/inference/models/citations.ts";
import type { Passage } from "#contracts/job.ts";

const passage = (document: string, text = document): Passage => ({
  collection: "shop",
  document,
  revision: 4,
  storedAt: 1,
  title: document.toUpperCase(),
  text,
  score: 1,
});
const passages = [passage("a", "first of a"), passage("b"), passage("a", "second of a"), passage("c")];
const documents = (text: string) => citationsOf(text, passages).map(({ document }) => document);

test.each([
  ["no marker at all", []],
  ["one [2].", ["b"]],
  ["order of use [4], then [1].", ["c", "a"]],
  ["two passages of a document [3][1]", ["a"]],
  ["a list [1, 2] and [2;4]", ["a", "b", "c"]],
  ["beyond the passages [5] [0] [99]", []],
  ["a link [1](https://shop.example) names nothing", []],
  ["no marker [1a] [ 1 ] [-1] []", []],
])("%s", (text, wanted) => {
  expect(documents(text)).toEqual(wanted);
});

test("a citation carries revision, title and the passage that was cited first", () => {
  expect(citationsOf("[3] [1]", passages)).toEqual([
    { collection: "shop", document: "a", revision: 4, title: "A", passage: "second of a" },
  ]);
});

test("stays fast on hostile text", () => {
  const startedAt = performance.now();
  citationsOf(`${"[1,".repeat(100_000)}${"[".repeat(100_000)}`, passages);
  expect(performance.now() - startedAt).toBeLessThan(10_000);
});
