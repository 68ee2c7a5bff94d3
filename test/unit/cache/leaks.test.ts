// No answer crosses tenants, assistants, their versions, tiers or languages, whatever the question: 10,000 random pairs
// over both levels, and a control that the same cache does serve inside a scope.
import fc from "fast-check";
import { expect, test } from "vitest";
import { fingerprintOf } from "#actors/cache/key.ts";
import type { CacheQuery } from "#actors/cache/port.ts";
import { createSemanticCache } from "#actors/cache/semantic/memory.ts";
import type { Scope } from "#actors/cache/semantic/port.ts";

const PAIRS = 10_000;
const DOCUMENTS = ["delivery", "payment", "returns", "warranty"];
const OPENINGS = [
  "How does",
  "Please tell me how",
  "What about how",
  "Can you say how",
  "I want to know how",
];
const ENDINGS = ["work", "works here", "works for customers", "is done", "happens"];
const VERSIONS = ["1", "2"];

const scope: fc.Arbitrary<Scope> = fc.record({
  tenant: fc.constantFrom("acme", "acme.", "ACME", "other"),
  assistant: fc.constantFrom("shop", "desk"),
  assistantVersion: fc.constantFrom(...VERSIONS),
  tier: fc.constantFrom("small", "large"),
  locale: fc.constantFrom("en", "nl", "de"),
});
const question = fc
  .tuple(fc.constantFrom(...OPENINGS), fc.constantFrom(...DOCUMENTS), fc.constantFrom(...ENDINGS))
  .map((words) => words.join(" "));
const same = (a: Scope, b: Scope): boolean => JSON.stringify(a) === JSON.stringify(b);
const documentOf = (text: string): string => DOCUMENTS.find((each) => text.includes(each)) as string;

test("the same question in another scope has another id", () => {
  const queryOf = (of: Scope, text: string): CacheQuery => ({
    ...of,
    question: text,
    passages: [],
    position: { revision: 0, storedAt: 0 },
  });
  fc.assert(
    fc.property(scope, scope, question, (a, b, text) => {
      fc.pre(!same(a, b));
      expect(fingerprintOf(queryOf(a, text))).not.toBe(fingerprintOf(queryOf(b, text)));
    }),
    { numRuns: PAIRS },
  );
});

test("the semantic level looks at nothing of another scope, and serves inside one", () => {
  const cache = createSemanticCache({ errorBound: 0.1, checkShare: 0 });
  const taught: Scope = {
    tenant: "acme",
    assistant: "shop",
    assistantVersion: "1",
    tier: "small",
    locale: "en",
  };
  const texts = OPENINGS.flatMap((a) => DOCUMENTS.flatMap((b) => ENDINGS.map((c) => `${a} ${b} ${c}`)));
  let served = 0;
  for (const [n, text] of texts.entries()) {
    const asked = { scope: taught, text };
    const verdict = cache.lookup(asked);
    if (verdict.kind === "serve") served++;
    const document = documentOf(text);
    cache.learn(asked, { id: `e${n}`, documents: [{ collection: "c", document, revision: 1 }] }, verdict);
  }
  expect(served).toBeGreaterThan(0);
  let others = 0;
  fc.assert(
    fc.property(scope, question, (other, text) => {
      const verdict = cache.lookup({ scope: other, text });
      if (same(other, taught)) return;
      others++;
      expect(verdict.kind).toBe("miss");
      expect(verdict.evidence.candidates).toEqual([]);
    }),
    { numRuns: PAIRS },
  );
  expect(others).toBeGreaterThan(PAIRS * 0.9);
});
