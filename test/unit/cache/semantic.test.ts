// Laws of the semantic cache: never across scopes, never an answer that rests on nothing, removal removes, the same calls
// give the same decisions, and the entries alone make the same cache again.
import fc from "fast-check";
import { expect, test } from "vitest";
import { AMONG_MOST, featuresOf, type Hit, LexicalIndex } from "#actors/cache/semantic/lexical-index.ts";
import { FEATURES } from "#actors/cache/semantic/measures.ts";
import { createSemanticCache } from "#actors/cache/semantic/memory.ts";
import type { Question, Scope, SemanticCache, SemanticEntry, Verdict } from "#actors/cache/semantic/port.ts";
import { VectorIndex } from "#actors/cache/semantic/vector-index.ts";
import { wordsOf } from "#actors/cache/semantic/words.ts";

const TOPICS = ["parcel", "invoice", "refund", "password"];
const FRAMES = [
  "where is my X",
  "I need help with the X",
  "how do I get a X",
  "please show me the X",
  "X problem",
];
const SCOPE: Scope = {
  tenant: "acme",
  assistant: "shop",
  assistantVersion: "1",
  tier: "small",
  locale: "en",
};

interface Asked {
  readonly topic: number;
  readonly frame: number;
  readonly scope: number;
  readonly cited: boolean;
  readonly session: number;
}

const asked: fc.Arbitrary<Asked> = fc.record({
  topic: fc.nat(TOPICS.length - 1),
  frame: fc.nat(FRAMES.length - 1),
  scope: fc.nat(2),
  cited: fc.nat(19).map((n) => n > 0),
  session: fc.nat(3),
});
const traffic = fc.array(asked, { minLength: 120, maxLength: 160 });
/** Long enough that some of it is served. */
const longTraffic = fc.array(asked, { minLength: 200, maxLength: 220 });

const scopeOf = (n: number): Scope => ({
  ...SCOPE,
  ...[{}, { tenant: "other" }, { assistantVersion: "2" }][n],
});
const questionOf = ({ topic, frame, scope }: Asked): Question => ({
  scope: scopeOf(scope),
  text: (FRAMES[frame] ?? "").replace("X", TOPICS[topic] ?? ""),
});

/** Plays the traffic; what is not served is learned. */
function play(cache: SemanticCache, all: readonly Asked[]): Verdict[] {
  return all.map((one, n) => {
    const question = questionOf(one);
    const verdict = cache.lookup(question);
    if (verdict.kind !== "serve")
      cache.learn(
        question,
        {
          id: `e${n}`,
          documents: one.cited ? [{ collection: "kb", document: TOPICS[one.topic] ?? "", revision: 1 }] : [],
          session: `s${one.session}`,
        },
        verdict,
      );
    return verdict;
  });
}

test("what is served is of the same scope and rests on something", () => {
  let served = 0;
  fc.assert(
    fc.property(longTraffic, (all) => {
      const verdicts = play(createSemanticCache(), all);
      for (const [n, verdict] of verdicts.entries()) {
        if (verdict.kind === "miss") continue;
        served++;
        expect(verdict.entry.scope).toEqual(scopeOf(all[n]?.scope ?? 0));
        expect(verdict.entry.documents).not.toEqual([]);
      }
    }),
    { numRuns: 4 },
  );
  expect(served).toBeGreaterThan(0);
});

test("the same calls give the same decisions", () => {
  fc.assert(
    fc.property(traffic, fc.nat(), (all, seed) => {
      expect(play(createSemanticCache({ seed }), all)).toEqual(play(createSemanticCache({ seed }), all));
    }),
    { numRuns: 4 },
  );
});

test("what was removed is never seen again, whichever way it went", () => {
  fc.assert(
    fc.property(traffic, fc.nat(3), fc.nat(3), (all, session, topic) => {
      const cache = createSemanticCache();
      play(cache, all);
      const document = { collection: "kb", document: TOPICS[topic] ?? "" };
      const removed = new Set([
        ...cache.removeSession("acme", `s${session}`),
        ...cache.removeDocument("acme", document),
      ]);
      for (const id of removed) expect(cache.get(id)).toBeUndefined();
      for (const entry of cache.entries())
        if (entry.scope.tenant === "acme") {
          expect(entry.session).not.toBe(`s${session}`);
          expect(entry.documents).not.toContainEqual(expect.objectContaining(document));
        }
      for (const one of all) {
        const { evidence } = cache.lookup(questionOf(one));
        for (const { entry } of evidence.candidates) expect(removed).not.toContain(entry);
      }
    }),
    { numRuns: 5 },
  );
});

test("entries alone make the same cache again", () => {
  fc.assert(
    fc.property(traffic, (all) => {
      const cache = createSemanticCache();
      play(cache, all);
      const again = createSemanticCache();
      for (const entry of structuredClone([...cache.entries()])) again.add(entry);
      for (const one of all) {
        const question = questionOf(one);
        // The threshold follows the look-ups of a process; all else is in the entries.
        const { threshold: _, ...evidence } = again.lookup(question).evidence;
        expect(cache.lookup(question).evidence).toMatchObject(evidence);
      }
    }),
    { numRuns: 3 },
  );
});

test("what came and went leaves nothing in the index, and the rest is found as before", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(11), fc.nat(40)), { minLength: 1, maxLength: 120 }), (steps) => {
      const index = new LexicalIndex();
      const textOf = (n: number) =>
        featuresOf(wordsOf(`what does thing${n % 7} number${n} cost abroad`, "en"), "en");
      const held = new Map<number, number>();
      for (const [item, text] of steps) {
        if (held.delete(item)) index.remove(item);
        else {
          index.add(item, textOf(text));
          held.set(item, text);
        }
        for (const [live, of] of held) {
          const hits = index.search(index.prepare(textOf(of)), 12);
          expect(hits.map((hit) => hit.item).every((found) => held.has(found))).toBe(true);
          expect(hits.find((hit) => hit.item === live)?.score).toBeCloseTo(1);
        }
      }
      for (const item of held.keys()) index.remove(item);
      for (const text of held.values())
        expect(index.prepare(textOf(text))).toMatchObject({ terms: Uint32Array.of(), unknown: 6 });
    }),
    { numRuns: 40 },
  );
});

test("more items than there are bits are not compared with each other by their words, but refused", () => {
  const index = new LexicalIndex();
  const items = Array.from({ length: AMONG_MOST + 1 }, (_, item) => item);
  for (const item of items) index.add(item, featuresOf(wordsOf("the same words", "en"), "en"));
  expect(index.among(items.slice(1)).at(-2)).toBeCloseTo(1, 5);
  expect(() => index.among(items)).toThrow(RangeError);
});

test("vectors whose places were given away again are found among many", () => {
  const index = new VectorIndex();
  const vectorOf = (seed: number): Float32Array => {
    const raw = Array.from(
      { length: 16 },
      (_, n) => (Math.sin((seed * 16 + n + 1) * 12.9898) * 43_758.5453) % 1,
    );
    const length = Math.hypot(...raw);
    return Float32Array.from(raw, (x) => x / length);
  };
  for (let n = 0; n < 2_000; n++) index.add(n, vectorOf(n));
  for (let n = 0; n < 400; n++) index.remove(n);
  for (let n = 0; n < 400; n++) index.add(n, vectorOf(5_000 + n));
  for (let n = 0; n < 400; n += 40) {
    expect(index.search(vectorOf(5_000 + n), 3)[0]?.item).toBe(n);
    const asBefore = ({ item }: Hit): boolean => (index.similarity(vectorOf(n), item) ?? 0) > 0.99999;
    expect(index.search(vectorOf(n), 3).filter(asBefore)).toEqual([]);
  }
});

test("a question alone leaves nothing behind, however it names its language", () => {
  const cache = createSemanticCache({ errorBound: 0.02 });
  const { evidence } = cache.lookup({ scope: { ...scopeOf(0), locale: "xx-1" }, text: "Anything?" });
  expect(evidence).toMatchObject({ threshold: 0.98, lessons: 0 });
});

test("of a language of which nothing is left nothing is known, nor kept", () => {
  const cache = createSemanticCache({ errorBound: 0.05 });
  const all = Array.from({ length: 200 }, (_, n) => ({ topic: n % 4, frame: n % 5, scope: 0, session: n }));
  play(
    cache,
    all.map((one) => ({ ...one, cited: true })),
  );
  const known = () => cache.lookup({ scope: SCOPE, text: "parcel problem" }).evidence;
  expect(known().threshold).not.toBe(0.95);
  for (const { id } of [...cache.entries()]) cache.remove(id);
  expect(known()).toMatchObject({ threshold: 0.95, lessons: 0 });
});

test("one session teaches no more than its share, however much it asks", () => {
  const lessonsOf = (sessions: number): [before: number, after: number] => {
    const cache = createSemanticCache();
    for (let n = 0; n < 60; n++) {
      const question = questionOf({ topic: n % 4, frame: n % 5, scope: 0, cited: true, session: 0 });
      const documents = [{ collection: "kb", document: TOPICS[n % 4] ?? "", revision: 1 }];
      const outcome = { id: `e${n}`, documents, session: `s${n % sessions}` };
      cache.learn(question, outcome, cache.lookup(question));
    }
    const lessons = () => cache.lookup({ scope: SCOPE, text: "parcel problem" }).evidence.lessons;
    const before = lessons();
    cache.removeSession(SCOPE.tenant, "s0");
    return [before, lessons()];
  };
  expect(lessonsOf(1)).toEqual([20, 0]);
  const [before, after] = lessonsOf(10);
  expect(before).toBeGreaterThan(30);
  expect(after).toBeLessThan(before);
});

test("a lesson that goes takes along what it told, also where its candidate went first", () => {
  const cache = createSemanticCache();
  const learnOf = (id: string, text: string, topic: string): void => {
    const question = { scope: SCOPE, text };
    const documents = [{ collection: "kb", document: topic, revision: 1 }];
    cache.learn(question, { id, documents }, cache.lookup(question));
  };
  for (const [n, frame] of FRAMES.entries())
    for (const topic of TOPICS.slice(0, 2)) learnOf(`${topic}${n}`, frame.replace("X", topic), topic);
  const question = { scope: SCOPE, text: "what is it with the parcel problem" };
  // Of nearness something stays for a while, as the weights of words follow in steps; of lessons nothing may.
  const told = (): unknown[] => {
    const { features } = cache.lookup(question).evidence;
    return [features?.[FEATURES.indexOf("record")], features?.[FEATURES.indexOf("confusion")]];
  };
  const before = told();
  for (let day = 0; day < 3; day++) {
    learnOf("tried", "the parcel was broken when it came", "parcel");
    learnOf("other", "the parcel was broken when it came here", "invoice");
    expect(cache.get("other")?.trial).toMatchObject({ entry: "tried", agreed: false });
    cache.remove("tried");
    cache.remove("other");
  }
  expect(told()).toEqual(before);
});

test("vectors of another length are compared once those of the first are gone", () => {
  const cache = createSemanticCache();
  const vectorOf = (length: number, topic: number): Float32Array => {
    const vector = new Float32Array(length);
    vector[topic] = 1;
    return vector;
  };
  const entryOf = (id: string, length: number, topic: number): SemanticEntry => ({
    v: 1,
    id,
    scope: SCOPE,
    text: `${TOPICS[topic]} problem`,
    vector: vectorOf(length, topic),
    documents: [{ collection: "kb", document: TOPICS[topic] ?? "", revision: 1 }],
  });
  const question = { scope: SCOPE, text: "parcel problem again", vector: vectorOf(8, 0) };
  cache.add(entryOf("before", 4, 0));
  cache.add(entryOf("beside", 8, 0));
  expect(cache.lookup(question).evidence.candidates.map(({ cosine }) => cosine)).toEqual([
    undefined,
    undefined,
  ]);
  cache.remove("before");
  cache.add(entryOf("after", 8, 0));
  const { candidates, features } = cache.lookup(question).evidence;
  expect(candidates.find(({ entry }) => entry === "after")?.cosine).toBe(1);
  expect(features?.[FEATURES.indexOf("meanCosine")]).toBe(1);
  cache.remove("beside");
  expect(cache.lookup(question).evidence.features?.[FEATURES.indexOf("meanCosine")]).toBe(1);
});

test("what was learned of one model's cosines says nothing of another's", () => {
  const cache = createSemanticCache({ checkShare: 0 });
  const asking = (scope: Scope, text: string, space: string): Question => {
    const vector = new Float32Array(8);
    vector[TOPICS.findIndex((topic) => text.includes(topic))] = 1;
    return { scope, text, vector, space };
  };
  for (const [n, frame] of [...FRAMES, ...FRAMES.map((each) => `hello, ${each}`)].entries())
    for (const topic of TOPICS) {
      const question = asking(SCOPE, frame.replace("X", topic), "before");
      const documents = [{ collection: "c", document: topic, revision: 1 }];
      const verdict = cache.lookup(question);
      if (verdict.kind === "miss") cache.learn(question, { id: `${n} ${topic}`, documents }, verdict);
    }
  const now = { ...SCOPE, assistantVersion: "of another model" };
  const documents = [{ collection: "c", document: "parcel", revision: 1 }];
  const first = asking(now, "where is my parcel", "after");
  cache.learn(first, { id: "first", documents }, cache.lookup(first));
  const learned = (space: string): number => cache.lookup(asking(now, "the parcel", space)).evidence.lessons;
  expect(learned("before")).toBeGreaterThan(20);
  expect(learned("after")).toBe(0);
});
