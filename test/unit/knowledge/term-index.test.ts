// The index against what it promises: every passage that covers enough is found, scored as the formula says, whatever
// was added and removed before; and the lists, words and vocabulary it is made of against their plain counterparts.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { IndexedPassage } from "#actors/knowledge/hits.ts";
import { Postings } from "#actors/knowledge/postings.ts";
import { TermIndex } from "#actors/knowledge/term-index.ts";
import { Vocabulary } from "#actors/knowledge/vocabulary.ts";
import { fold, termsOf, wordsOf } from "#actors/knowledge/words.ts";

const WORDS = "zebra quokka walrus heron badger otter lynx gecko marmot puffin".split(" ");
const text = (most: number) =>
  fc.array(fc.constantFrom(...WORDS), { maxLength: most }).map((words) => words.join(" "));
const passage = fc.record({
  collection: fc.constantFrom("one", "two"),
  title: text(2),
  context: text(2),
  heading: text(3),
  body: text(12),
});

/** BM25+ over four fields by counting, with coverage as the share of information; nothing is skipped. */
function expected(passages: readonly IndexedPassage[], question: string, collections: Set<string>) {
  const fields = ["title", "context", "heading", "body"] as const;
  const boosts = [1.5, 1.5, 2, 1];
  const termsIn = (p: IndexedPassage, field: (typeof fields)[number]): string[] => termsOf(p[field], "en");
  const lengthOf = (p: IndexedPassage, field: (typeof fields)[number]): number =>
    new Set(termsIn(p, field)).size;
  const asked = [...new Set(termsOf(question, "en"))];
  const holds = (p: IndexedPassage, term: string): boolean =>
    fields.some((f) => termsIn(p, f).includes(term));
  const information = (term: string): number => {
    const frequency = Math.max(4, passages.filter((p) => holds(p, term)).length);
    return Math.log(1 + (passages.length + 100 - frequency + 0.5) / (frequency + 0.5));
  };
  const all = asked.reduce((sum, term) => sum + information(term), 0);
  return passages.flatMap((p) => {
    const held = asked.filter((term) => holds(p, term));
    const coverage = held.reduce((sum, term) => sum + information(term), 0) / all;
    if (!collections.has(p.collection) || !(coverage > 0.5 + 1e-9)) return [];
    let score = 0;
    for (const term of held)
      for (const [at, field] of fields.entries()) {
        const count = termsIn(p, field).filter((other) => other === term).length;
        if (count === 0) continue;
        const counted = Math.min(count, field === "body" ? 15 : 3);
        const holders = passages.filter((other) => termsIn(other, field).includes(term)).length;
        const idf = Math.log(1 + (passages.length - holders + 0.5) / (holders + 0.5));
        const average = passages.reduce((sum, other) => sum + lengthOf(other, field), 0) / passages.length;
        const norm = 1.2 * (0.3 + (0.7 * lengthOf(p, field)) / average);
        score += (boosts[at] ?? 0) * idf * (0.5 + (counted * 2.2) / (counted + norm));
      }
    const [heading, words] = [new Set(wordsOf(p.heading)), new Set(wordsOf(question))];
    const alike = heading.size === 0 ? 0 : heading.intersection(words).size / heading.union(words).size;
    return [{ passage: p, coverage, score: score * held.length * coverage * (1 + alike) }];
  });
}

describe("term index", () => {
  test("finds exactly what covers more than half, with the score of the formula, after any additions and removals", () => {
    const law = fc.property(
      fc.array(passage, { minLength: 1, maxLength: 14 }),
      fc.array(fc.nat({ max: 13 }), { maxLength: 10 }),
      fc.array(fc.constantFrom(...WORDS, "unheard"), { minLength: 1, maxLength: 5 }),
      (made, removed, asked) => {
        const index = new TermIndex<IndexedPassage>("en");
        const passages = made.map((p, n) => ({ ...p, document: `d${n}`, at: 0 }));
        for (const p of passages) index.add(p);
        for (const n of removed) if (passages[n]) index.remove(passages[n]);
        // Some come back under numbers that others had.
        const back = removed.filter((n) => n % 2 === 0 && passages[n]);
        for (const n of back) index.add(passages[n] as IndexedPassage);
        const left = passages.filter((_, n) => !removed.includes(n) || back.includes(n));
        expect(index.size).toBe(left.length);
        const collections = new Set(["one"]);
        const question = asked.join(" ");
        const accepts = ({ collection }: IndexedPassage): boolean => collections.has(collection);
        const hits = index.search({ question, accepts, limit: 99, coverage: 0.5 });
        const wanted = expected(left, question, collections);
        expect(hits.map((hit) => hit.passage.document).sort()).toEqual(
          wanted.map((hit) => hit.passage.document).sort(),
        );
        for (const { passage: found, score, coverage } of hits) {
          const same = wanted.find((hit) => hit.passage === found);
          expect(score).toBeCloseTo(same?.score ?? Number.NaN, 6);
          expect(coverage).toBeCloseTo(same?.coverage ?? Number.NaN, 9);
        }
        const best = index.search({ question, accepts, limit: 3, coverage: 0.5 });
        expect(best).toEqual(hits.slice(0, 3));
      },
    );
    fc.assert(law, { numRuns: 150 });
  });

  test("a message of thousands of sentences is searched in bounded time, its first sentences first", () => {
    const index = new TermIndex<IndexedPassage>("en");
    const made = { collection: "one", document: "d", title: "", context: "", heading: "", body: "zebra" };
    for (let at = 0; at < 3_000; at++) index.add({ ...made, at });
    const question = `zebra? ${"zebra otter. ".repeat(5_000)}`;
    expect(index.search({ question, accepts: () => true, limit: 1, coverage: 0.5 })).toHaveLength(1);
  });
});

test("of a text of more sentences than a letter has the first and the last are looked for", () => {
  const index = new TermIndex<IndexedPassage>("en");
  const wordOf = (n: number): string => `zebra${String.fromCharCode(97 + (n % 26), 97 + Math.floor(n / 26))}`;
  const [sentences, passages] = [600, 4];
  const of = (n: number, at: number): IndexedPassage => ({
    collection: "one",
    document: `d${n}`,
    at,
    title: "",
    context: "",
    heading: "",
    body: wordOf(n),
  });
  for (let n = 0; n < sentences; n++) for (let at = 0; at < passages; at++) index.add(of(n, at));
  const question = Array.from({ length: sentences }, (_, n) => `${wordOf(n)}.`).join(" ");
  const looked = new Set<string>();
  const accepts = ({ document }: IndexedPassage): boolean => looked.add(document).size > 0;
  const hits = index.search({ question, accepts, limit: sentences * passages, coverage: 0.5 });
  expect(hits.length).toBe(looked.size * passages);
  expect(looked.size).toBeLessThan(100);
  expect(looked).toContain("d0");
  expect(looked).toContain(`d${sentences - 1}`);
});

test("lists keep what was appended, in blocks of any number, and sweep what is unwanted", () => {
  const command = fc.oneof(
    fc.record({ list: fc.nat({ max: 4 }), append: fc.integer({ min: 1, max: 3_000 }) }),
    fc.record({ list: fc.nat({ max: 4 }), modulo: fc.integer({ min: 2, max: 5 }) }),
  );
  const law = fc.property(fc.array(command, { maxLength: 12 }), (commands) => {
    const postings = new Postings();
    const model: number[][] = [[], [], [], [], []];
    let next = 0;
    for (const { list, ...rest } of commands) {
      const own = model[list] as number[];
      if ("append" in rest)
        for (let n = 0; n < rest.append; n++) {
          postings.append(list, ++next);
          own.push(next);
        }
      else {
        postings.sweep(list, (value) => value % rest.modulo !== 0);
        model[list] = own.filter((value) => value % rest.modulo !== 0);
      }
    }
    for (const [list, values] of model.entries()) {
      expect(postings.count(list)).toBe(values.length);
      const kept = postings.blocks(list).flatMap((block) => [...block]);
      expect(kept.sort((a, b) => a - b)).toEqual(values);
    }
  });
  fc.assert(law, { numRuns: 50 });
});

test("words are those of the regular expression that describes them", () => {
  const WORD = /\p{N}+(?:[.,:]\p{N}+)+|[\p{L}\p{N}]+(?:['\u2019][\p{L}]+)?/gu;
  const described = (given: string): string[] =>
    [...fold(given).matchAll(WORD)].map(([word]) => word.replace(/['\u2019].*$/, "").slice(0, 48));
  const piece = fc.oneof(
    fc.integer({ min: 1, max: 0x1ffff }).map((code) => String.fromCodePoint(code === 0xd800 ? 32 : code)),
    fc.string({ maxLength: 6 }),
    fc.constantFrom("it's", "4.95", "22:00", "1.", ".5", "AC12", "é", "\u2019s", "𝔘", "٣", " ", "-", "’"),
  );
  fc.assert(
    fc.property(fc.array(piece), (pieces) => {
      expect(wordsOf(pieces.join(""))).toEqual(described(pieces.join("")));
    }),
    { numRuns: 100 },
  );
});

describe("vocabulary", () => {
  test("a typing error finds the nearest word, the more frequent of two", () => {
    const vocabulary = new Vocabulary("en");
    for (const term of ["password", "passport", "passport", "pass", "warranty"]) vocabulary.add(term);
    const expand = (term: string): string[] => vocabulary.expand(term).map((expansion) => expansion.term);
    expect(expand("pasword")).toEqual(["password"]);
    // Both are one letter away.
    expect(expand("passwort")).toEqual(["passport"]);
    expect(expand("warantty")).toEqual([]);
    expect(expand("assport")).toEqual([]);
    expect(expand("pas")).toEqual([]);
  });

  test("of many compounds the most frequent stand for a word, in whatever order they came", () => {
    const terms = Array.from(
      { length: 60 },
      (_, n) => `lever${String.fromCharCode(97 + (n % 26))}abc${n % 7}`,
    );
    const expand = (order: readonly string[]): string[] => {
      const vocabulary = new Vocabulary("nl");
      for (const term of order) vocabulary.add(term);
      vocabulary.add("levertijd");
      vocabulary.add("levertijd");
      vocabulary.add("levertijd");
      return vocabulary.expand("lever").map((expansion) => expansion.term);
    };
    const found = expand(terms);
    expect(found).toHaveLength(24);
    expect(found[0]).toBe("levertijd");
    expect(expand([...terms].reverse())).toEqual(found);
  });
});
