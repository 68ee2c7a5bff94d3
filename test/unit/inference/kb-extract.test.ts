// kb-extract on the demo shop's documents, in both languages: it quotes the right document word for word, and says
// that it does not know what the documents do not say.
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { extract, kbExtractModel } from "#actors/inference/models/kb-extract.ts";
import { sentencesOf } from "#actors/inference/models/sections.ts";
import { PassageIndex } from "#actors/knowledge/passage-index.ts";
import type { Passage } from "#contracts/job.ts";
import { jobOf } from "#test/harness/inference.ts";

const folder = new URL("../../../ops/demo/knowledge/", import.meta.url);
const texts = new Map<string, string>();
const index = new PassageIndex();
for (const file of readdirSync(folder)) {
  const [, head = "", text = ""] =
    /^---\n([\s\S]*?)\n---\n([\s\S]*)$/.exec(readFileSync(new URL(file, folder), "utf8")) ?? [];
  const field = (name: string): string => new RegExp(`^${name}: (.*)$`, "m").exec(head)?.[1] ?? "";
  const document = file.replace(".md", "");
  texts.set(document, text);
  const [title, locale] = [field("title"), field("locale")];
  const tags = field("tags").slice(1, -1).split(", ");
  index.apply(
    { v: 1, tenant: "demo", collection: "shop", document, deleted: false, title, text, locale, tags, at: 0 },
    texts.size,
  );
}
const retrieve = (question: string, locale: string): Passage[] =>
  index.retrieve({ tenant: "demo", collections: ["shop"], question, locale, limit: 6 });

const answer = (question: string, locale: string) => extract(question, retrieve(question, locale), locale);

describe("what the documents say", () => {
  test.each([
    ["How long does delivery take?", "en", "delivery-en", "1 to 2 working days"],
    ["When do you deliver?", "en", "delivery-en", "Monday to Saturday"],
    ["How much does delivery cost?", "en", "delivery-en", "€4.95"],
    ["When will I get my money back?", "en", "refunds-en", "5 working days"],
    ["What are your opening hours?", "en", "stores-en", "9:30 to 20:00"],
    ["Do you ship to Belgium?", "en", "delivery-abroad-en", "Belgium"],
    ["Where is my order?", "en", "tracking-en", "My Acme"],
    // Its documents say this in their tags alone.
    ["How long is the guarantee?", "en", "warranty-en", "at least 2 years"],
    ["Hoe lang duurt de levering?", "nl", "delivery-nl", "1 tot 2 werkdagen"],
    ["Wanneer krijg ik mijn geld terug?", "nl", "refunds-nl", "werkdagen"],
    ["Wat zijn de openingstijden?", "nl", "stores-nl", "uur"],
    ["Ik ben mijn wachtwoord vergeten", "nl", "password-nl", "wachtwoord"],
  ])("%s", (question, locale, document, words) => {
    const { text, citations } = answer(question, locale);
    expect(text).toContain(words);
    expect(citations.map((c) => c.document)).toEqual([document]);
    expect(citations[0]?.passage).toBe(text);
    // Word for word, and without the heading that only repeats the question.
    expect(texts.get(document)).toContain(text);
    expect(text).not.toMatch(/^#/m);
  });
});

describe("numbers and lengths of time", () => {
  test.each([
    ["Can I return a product after three weeks?", "Can I return a product after 3 weeks?", "en"],
    ["Is my gift card valid after ten years?", "Is my gift card valid after 10 years?", "en"],
    [
      "I returned my order two weeks ago, where is my refund?",
      "I returned my order 2 weeks ago, where is my refund?",
      "en",
    ],
    [
      "Mag ik iets na drie\u00ebntwintig dagen nog retourneren?",
      "Mag ik iets na 23 dagen nog retourneren?",
      "nl",
    ],
    ["Kan ik na elf dagen nog ruilen?", "Kan ik na 11 dagen nog ruilen?", "nl"],
  ])("in words or in digits, the same answer: %s", (inWords, inDigits, locale) => {
    const { text, citations } = answer(inWords, locale);
    expect(citations).toHaveLength(1);
    expect(answer(inDigits, locale).text).toBe(text);
  });

  test("a length of time is not the matter asked about, and tells which of the answers about the matter is meant", () => {
    const passage = (document: string, text: string): Passage => ({
      collection: "c",
      document,
      revision: 1,
      storedAt: 1,
      title: document,
      text,
      score: 1,
    });
    const passages = [
      passage("stock", "A product that is out of stock is back within 2 to 3 weeks."),
      passage("steps", "To return a product, print the label."),
      passage("returns", "You return a product within 30 days."),
    ];
    for (const question of [
      "Can I return a product after 3 weeks?",
      "Can I return a product after three weeks?",
    ])
      expect(extract(question, passages, "en").citations[0]?.document).toBe("returns");
    expect(extract("Will it snow in 3 weeks?", passages, "en").citations).toEqual([]);
  });
});

describe("what they do not say", () => {
  test.each([
    ["What is the capital of France?", "en"],
    ["Who won the world cup in 1998?", "en"],
    ["Can you write me a poem about the sea?", "en"],
    ["What is the weather tomorrow in Utrecht?", "en"],
    ["Hello", "en"],
    ["How long?", "en"],
    ["Wat is de hoofdstad van Frankrijk?", "nl"],
    ["Hoe laat vertrekt de trein naar Utrecht?", "nl"],
  ])("%s", (question, locale) => {
    const { text, citations } = answer(question, locale);
    expect(citations).toEqual([]);
    expect(text).toContain(locale === "nl" ? "kennisbank" : "knowledge base");
  });

  test("a passage that was found by its meaning is quoted, though it shares no word with the question", () => {
    const passage = {
      collection: "c",
      document: "d",
      revision: 1,
      storedAt: 1,
      title: "Lockers",
      text: "Collect it day and night.",
      score: 1,
    };
    const asked = "Where do I pick up my order outside business hours?";
    expect(extract(asked, [passage], "en").citations).toEqual([]);
    expect(extract(asked, [{ ...passage, near: true }], "en").text).toBe("Collect it day and night.");
  });

  test("passages that hardly touch the question are not quoted, whoever retrieved them", () => {
    const passages = retrieve("How long does delivery take?", "en");
    expect(passages.length).toBeGreaterThan(0);
    expect(extract("How long does it take to learn the piano?", passages, "en").citations).toEqual([]);
    // "After" is in every other text.
    for (const asked of ["Can I pay after delivery?", "What happens after I order?"])
      expect(answer(asked, "en").citations).toEqual([]);
  });

  test("other languages are told so in English, and no passages mean no answer", () => {
    expect(extract("Wo ist mein Paket?", [], "de-AT")).toMatchObject({
      citations: [],
      text: expect.stringContaining("knowledge base"),
    });
  });
});

test("a long section is quoted in part, verbatim", () => {
  const filler = "We keep our promises. Our people are kind. ".repeat(30);
  const text = `${filler}A parrot costs 12.50 euros. It comes with a cage. Food is extra. ${filler}`;
  const passages = [
    { collection: "zoo", document: "birds", revision: 1, storedAt: 1, title: "Birds", text, score: 1 },
  ];
  const { text: quoted } = extract("What does a parrot cost?", passages, "en");
  expect(quoted).toBe("A parrot costs 12.50 euros. It comes with a cage. Food is extra.");
});

test("a full stop inside a number ends no sentence", () => {
  expect(sentencesOf("It costs €4.95 per order. It is free from €50. Yes!")).toEqual([
    "It costs €4.95 per order.",
    "It is free from €50.",
    "Yes!",
  ]);
});

test("a message of hundreds of questions looks at its passages a few times: a host that does so for seconds counts as dead", () => {
  const [passage] = retrieve("How long does delivery take?", "en") as [Passage];
  let looks = 0;
  const watched = {
    ...passage,
    get title() {
      looks++;
      return passage.title;
    },
  };
  const questions = Array.from({ length: 500 }, (_, n) => `Is parrot ${n} for sale?`);
  const { text } = extract([...questions, "How long does delivery take?"].join(" "), [watched], "en");
  expect(text).toContain("1 to 2 working days");
  expect(looks).toBeLessThan(100);
});

test("the model streams exactly its text, in groups of words", async () => {
  const question = "How long does delivery take?";
  const pieces: string[] = [];
  const run = {
    signal: new AbortController().signal,
    attempt: 1,
    onText: (text: string) => void pieces.push(text),
  };
  const { text, usage } = await kbExtractModel().run(
    jobOf({ question, passages: retrieve(question, "en") }),
    run,
  );
  expect(pieces.join("")).toBe(text);
  expect(pieces.length).toBeGreaterThan(3);
  expect(usage).toEqual({ inputTokens: 0, outputTokens: 0 });
});
