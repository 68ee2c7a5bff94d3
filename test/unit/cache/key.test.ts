// Laws of the cache key: the same request has the same key, and nothing that may change the answer is left out.
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  dependencyFilter,
  dependencyKey,
  entryKey,
  fingerprintOf,
  fingerprintOfKey,
  normaliseQuestion,
} from "#actors/cache/key.ts";
import type { CacheQuery } from "#actors/cache/port.ts";

const word = fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 });
const passage = fc.record({
  collection: word,
  document: word,
  revision: fc.nat(),
  storedAt: fc.nat(),
  title: word,
  text: word,
  score: fc.double({ noNaN: true }),
});
const query: fc.Arbitrary<CacheQuery> = fc.record({
  tenant: word,
  assistant: word,
  assistantVersion: word,
  tier: word,
  locale: word,
  question: word,
  passages: fc.array(passage, { maxLength: 3 }),
  position: fc.record({ revision: fc.nat(), storedAt: fc.nat() }),
});

test("the same request has the same key, whatever the object and the score", () => {
  fc.assert(
    fc.property(query, fc.double({ noNaN: true }), (q, score) => {
      const copy = { ...structuredClone(q), passages: q.passages.map((p) => ({ ...p, score })) };
      expect(fingerprintOf(copy)).toBe(fingerprintOf(q));
    }),
  );
});

test.each(["tenant", "assistant", "assistantVersion", "tier", "locale"] as const)(
  "another %s is another key",
  (field) => {
    fc.assert(
      fc.property(query, word, (q, other) => {
        fc.pre(q[field] !== other);
        expect(fingerprintOf({ ...q, [field]: other })).not.toBe(fingerprintOf(q));
      }),
    );
  },
);

test("another passage, revision or order is another key", () => {
  fc.assert(
    fc.property(query, passage, (q, extra) => {
      expect(fingerprintOf({ ...q, passages: [...q.passages, extra] })).not.toBe(fingerprintOf(q));
      expect(fingerprintOf({ ...q, passages: [{ ...extra, revision: extra.revision + 1 }] })).not.toBe(
        fingerprintOf({ ...q, passages: [extra] }),
      );
    }),
  );
});

test("text cannot move from one field to the next", () => {
  fc.assert(
    fc.property(query, word, (q, moved) => {
      expect(fingerprintOf({ ...q, assistant: q.assistant + moved })).not.toBe(
        fingerprintOf({ ...q, assistantVersion: moved + q.assistantVersion }),
      );
    }),
  );
});

test.each([
  ["How long does delivery take?", "how long does  delivery take"],
  ["Is it FREE!!", " is it free "],
  ["\uff28\uff4fw\u00a0long", "how long"],
])("%j asks the same as %j", (a, b) => {
  expect(normaliseQuestion(a)).toBe(normaliseQuestion(b));
});

test("what differs in a word, a number or a sign inside stays different", () => {
  const questions = [
    "order 1",
    "order 12",
    "order -1",
    "not an order",
    "an order",
    "is 5 > 3",
    "is 5 < 3",
    "?",
    "!",
  ];
  expect(new Set(questions.map(normaliseQuestion)).size).toBe(questions.length);
});

test("keys are legal in KV for any ids, and a filter finds exactly its document's", () => {
  fc.assert(
    fc.property(word, word, word, query, (tenant, collection, document, q) => {
      const fingerprint = fingerprintOf(q);
      const key = dependencyKey(tenant, { collection, document }, fingerprint);
      expect(key).toMatch(/^d(\.[-=\w]+){4}$/);
      expect(entryKey(tenant, fingerprint)).toMatch(/^a(\.[-=\w]+){2}$/);
      expect(dependencyFilter(tenant, collection, document)).toBe(key.replace(fingerprint, "*"));
      expect(fingerprintOfKey(key)).toBe(fingerprint);
    }),
  );
});

test("the US are not us, but where all is in capitals", () => {
  expect(normaliseQuestion("Do you ship to the US?")).toBe(normaliseQuestion("do you ship to the USA"));
  expect(normaliseQuestion("Do you ship to the U.S.?")).toBe(normaliseQuestion("do you ship to the USA"));
  expect(normaliseQuestion("Do you ship to US?")).not.toBe(normaliseQuestion("Do you ship to us?"));
  expect(normaliseQuestion("CAN YOU CALL US?")).toBe(normaliseQuestion("can you call us"));
});
