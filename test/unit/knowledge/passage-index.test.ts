// What the index finds and what it admits not to know, over the demo shop; changes in any order; tenants apart.
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { PassageIndex } from "#actors/knowledge/passage-index.ts";
import type { Passage } from "#contracts/job.ts";
import type { KnowledgeEvent } from "#contracts/knowledge.ts";
import { readDemoDocuments } from "#ops/demo/load.ts";
import { ANSWERABLE, OUT_OF_SCOPE } from "#ops/demo/questions.ts";

const event = (change: Partial<KnowledgeEvent>): KnowledgeEvent => ({
  v: 1,
  tenant: "demo",
  collection: "shop",
  document: "d",
  deleted: false,
  title: "A title",
  text: "Some text.",
  at: 0,
  ...change,
});

const shop = new PassageIndex();
beforeAll(async () => {
  for (const [n, { document, input }] of (await readDemoDocuments()).entries())
    shop.apply(event({ document, ...input }), n + 1);
});
const ask = (question: string, locale?: string, limit = 6): Passage[] =>
  shop.retrieve({ tenant: "demo", collections: ["shop"], question, locale, limit });

describe("the demo shop", () => {
  test.each([
    ["How long does delivery take?", "delivery-en"],
    ["Hoe lang duurt de levering?", "delivery-nl"],
    ["can i return something after 3 weeks", "returns-en"],
    ["can i return something after three weeks", "returns-en"],
    ["kan ik na drie weken nog iets retourneren", "returns-nl"],
    ["I forgot my password", "password-en"],
    ["Ik ben mijn wachtwoord vergeten", "password-nl"],
  ])("%s -> %s, also when nobody says the language", (question, document) => {
    expect(ask(question)[0]?.document).toBe(document);
  });

  test("nine of ten paraphrased questions find the right document first", () => {
    const missed = ANSWERABLE.filter(
      ({ text, locale, documents }) => !documents.includes(ask(text, locale)[0]?.document ?? ""),
    );
    // 51 of 55 when it was written; the rest lacks a synonym (package for parcel) or names two topics.
    expect(missed.length, missed.map(({ text }) => text).join("; ")).toBeLessThanOrEqual(5);
  });

  test("questions about something else find nothing", () => {
    const found = OUT_OF_SCOPE.filter(
      ({ text, locale }) => ask(text, locale).length > 0 || ask(text).length > 0,
    );
    expect(found.map(({ text }) => text)).toEqual([]);
  });

  test("a greeting and a story around a question do not hide it", () => {
    expect(
      ask("Hello there! My cousin bought a lamp for my birthday. How long does delivery take?")[0]?.document,
    ).toBe("delivery-en");
  });

  test("a typing error in a long word is forgiven", () => {
    expect(ask("how do I reset my pasword", "en")[0]?.document).toBe("password-en");
    expect(ask("hoe werkt de garrantie", "nl")[0]?.document).toBe("warranty-nl");
  });

  test("the asker's locale comes first, another language only where it has nothing", () => {
    expect(new Set(ask("password", "en").map(({ locale }) => locale))).toEqual(new Set(["en"]));
    expect(ask("wachtwoord vergeten", "en")[0]?.document).toBe("password-nl");
    expect(ask("I forgot my password", "nl-BE")[0]?.document).toBe("password-en");
  });

  test("a passage names its document, revision, title and url, and is at most a section", () => {
    const [best] = ask("How long does delivery take?", "en");
    expect(best).toMatchObject({
      collection: "shop",
      document: "delivery-en",
      title: "Delivery times and costs",
      url: "https://shop.example/help/en/delivery",
      locale: "en",
    });
    expect(best?.revision).toBe(shop.changeOf("demo", "shop", "delivery-en")?.revision);
    expect(best?.text).toMatch(/^## How long does delivery take\?\n\nDelivery takes 1 to 2 working days/);
  });

  test("at most as many as asked for, best first", () => {
    const scores = ask("delivery costs", "en", 3).map(({ score }) => score);
    expect(scores).toHaveLength(3);
    expect(scores).toEqual([...scores].sort((a, b) => b - a));
    expect(ask("delivery", "en", 0)).toEqual([]);
  });

  test.each([
    "",
    "???",
    "12345",
    "the",
    "\u{1F600}",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "* > $JS.API.X __proto__ constructor",
  ])("%j is no trouble", (question) => {
    expect(ask(question)).toEqual([]);
  });
});

describe("small and strange knowledge bases", () => {
  test("one document is enough, and its language may be unknown", () => {
    const index = new PassageIndex();
    index.apply(event({ title: "Zebra", text: "Zebras eat hay." }), 1);
    const find = (question: string): number =>
      index.retrieve({ tenant: "demo", collections: ["shop"], question, limit: 3 }).length;
    expect(find("What do zebras eat?")).toBe(1);
    expect(find("What is the capital of France?")).toBe(0);
  });

  test("a language without word lists is searched too", () => {
    const index = new PassageIndex();
    index.apply(
      event({ title: "Livraison", text: "La livraison prend deux jours ouvrables en France.", locale: "fr" }),
      1,
    );
    expect(
      index.retrieve({
        tenant: "demo",
        collections: ["shop"],
        question: "Combien de jours pour la livraison ?",
        limit: 1,
      }),
    ).toHaveLength(1);
  });
});

describe("changes", () => {
  const text = (revision: number): string => `The secret word is zebra${revision}zulu.`;
  const find = (index: PassageIndex): string[] =>
    index
      .retrieve({
        tenant: "demo",
        collections: ["shop"],
        question: "What is the secret word?",
        locale: "en",
        limit: 9,
      })
      .map((passage) => passage.text);

  test("in any order and repeated, the highest revision of each document stays", () => {
    const change = fc.record({
      document: fc.constantFrom("a", "b"),
      revision: fc.integer({ min: 1, max: 30 }),
      deleted: fc.boolean(),
    });
    const law = fc.property(
      fc.uniqueArray(change, { selector: ({ revision }) => revision, minLength: 1 }),
      fc.infiniteStream(fc.nat()),
      (changes, random) => {
        const index = new PassageIndex();
        const shuffled = [...changes, ...changes].sort(() => ((random.next().value as number) % 3) - 1);
        for (const { document, revision, deleted } of shuffled)
          index.apply(
            event({ document, title: "Secrets", text: deleted ? "" : text(revision), locale: "en", deleted }),
            revision,
          );
        const last = ["a", "b"].map(
          (id) =>
            changes.filter(({ document }) => document === id).sort((x, y) => y.revision - x.revision)[0],
        );
        const expected = last.flatMap((c) => (c && !c.deleted ? [text(c.revision)] : []));
        expect(find(index).sort()).toEqual(expected.sort());
        expect(["a", "b"].map((id) => index.changeOf("demo", "shop", id)?.revision)).toEqual(
          last.map((c) => (c && !c.deleted ? c.revision : undefined)),
        );
        expect(index.count("demo", "shop")).toBe(expected.length);
      },
    );
    fc.assert(law, { numRuns: 60 });
  });

  test("tenants and collections are apart", () => {
    const index = new PassageIndex();
    index.apply(event({ tenant: "one", title: "Secrets", text: text(1), locale: "en" }), 1);
    index.apply(event({ tenant: "two", title: "Secrets", text: text(2), locale: "en" }), 2);
    index.apply(
      event({ tenant: "one", collection: "private", title: "Secrets", text: text(3), locale: "en" }),
      3,
    );
    const of = (tenant: string, ...collections: string[]): string[] =>
      index
        .retrieve({ tenant, collections, question: "What is the secret word?", limit: 9 })
        .map((passage) => passage.text);
    expect(of("one", "shop")).toEqual([text(1)]);
    expect(of("two", "shop", "private")).toEqual([text(2)]);
    expect(of("one", "private")).toEqual([text(3)]);
    expect(of("three", "shop")).toEqual([]);
    expect(of("one")).toEqual([]);
  });
});

test("a document that is being changed answers as it was until the new text is whole, then as if it had come at once", () => {
  const sections = (word: string): string =>
    Array.from({ length: 6 }, (_, n) => `## Part ${n}\n\nThe ${word} number${n} sleeps in the barn.`).join(
      "\n\n",
    );
  const taken = (text: string, revision: number): PassageIndex => {
    const index = new PassageIndex();
    index.apply(event({ text, locale: "en" }), revision);
    return index;
  };
  const find = (index: PassageIndex): Passage[] =>
    ["zebra", "walrus"].flatMap((word) =>
      index.retrieve({
        tenant: "demo",
        collections: ["shop"],
        question: `Where does the ${word} sleep?`,
        locale: "en",
        limit: 9,
      }),
    );
  const texts = (index: PassageIndex): string[] => find(index).map(({ text }) => text);
  const sliced = taken(sections("zebra"), 1);
  const [before, after] = [sliced, taken(sections("walrus"), 2)].map(texts);
  const revisions: (number | undefined)[] = [];
  for (const steps = sliced.applying(event({ text: sections("walrus"), locale: "en" }), 2, 0); ; ) {
    const { done } = steps.next();
    const revision = sliced.changeOf("demo", "shop", "d")?.revision;
    revisions.push(revision);
    expect(texts(sliced).sort()).toEqual([...((revision === 1 ? before : after) ?? [])].sort());
    if (done) break;
  }
  expect(before).toHaveLength(6);
  expect(revisions.filter((revision) => revision === 1).length).toBeGreaterThan(5);
  expect(revisions.filter((revision) => revision === 2).length).toBeGreaterThan(5);
  expect(find(sliced)).toEqual(find(taken(sections("walrus"), 2)));
});
