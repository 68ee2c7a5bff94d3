// What forbids one answer for two questions, with what a scope has seen before; and what does not.
import { expect, test } from "vitest";
import { read, refusals, type Slot, slotReader } from "#actors/cache/semantic/guards.ts";
import { Lexicon } from "#actors/cache/semantic/lexicon.ts";
import { createSemanticCache } from "#actors/cache/semantic/memory.ts";
import { wordsOf } from "#actors/cache/semantic/words.ts";
import { randomOf } from "#test/harness/random.ts";
import { TOPICS } from "#test/harness/topics.ts";

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

function guardsBetween(
  one: string,
  other: string,
  slots: readonly Slot[] = [],
  isCommon: (text: string) => boolean = () => false,
  language = "en",
): string[] {
  const lexicon = new Lexicon(language);
  for (const text of SEEN) lexicon.count(wordsOf(text, language), 1);
  const reader = slotReader(slots);
  const words = { lexicon, language };
  const refused = refusals(read(one, reader, words), read(other, reader, words), {
    ...words,
    about: new Set(),
    isCommon,
    spoken: () => "too",
    tells: ({ narrows }) => narrows,
  });
  return [...refused].map((guard) => guard.split(":")[0] ?? "");
}

test.each([
  ["change order 12345", "change order 12346", "number"],
  ["do you have size 42", "do you have size 43", "number"],
  ["the parcel of two kilos", "the parcel of three kilos", "number"],
  ["does the battery work at -20 degrees", "does the battery work at 20 degrees", "number"],
  ["does the battery work at \u221220 degrees", "does the battery work at 20 degrees", "number"],
  ["do you have a book on c++", "do you have a book on c#", "number"],
  ["does it work at (-20.5) degrees", "does it work at (20.5) degrees", "number"],
  ["do you have a cover for the S21+", "do you have a cover for the S21", "number"],
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
  ["the scanner does not work", "does the scanner work", "negation"],
  ["how do I turn it on", "how do I turn it off", "opposite"],
  ["how to enable two-step login", "how to disable two-step login", "opposite"],
  ["how long does it take", "how much does it take", "question type"],
  ["ship a parcel from rome to paris", "ship a parcel from paris to rome", "direction"],
  ["transfer from my savings account to checking", "transfer from checking to my savings", "direction"],
  ["to upgrade from plan 2 to plan 3", "to upgrade from plan 3 to plan 2", "direction"],
  ["tickets for 2 adults and 1 child", "tickets for 1 adult and 2 children", "number"],
  ["do you deliver on 3/4", "do you deliver on 4/3", "number"],
  ["do you open on 2026-05-03", "do you open on 2026-03-05", "number"],
  ["is there a discount of 20%", "is there a discount of \u20ac20", "number"],
  ["is shipping free above \u20ac50", "is shipping free above $50", "number"],
  ["can I return it within 2 days", "can I return it within 2 weeks", "number"],
  ["a parcel of 5kg", "a parcel of 5 lb", "number"],
  ["is delivery free for orders over 50 euro", "is delivery free for orders under 50 euro", "number"],
  ["is the parking open until 6", "is the parking open from 6", "number"],
  ["do you have the jacket in M", "do you have the jacket in S", "number"],
  ["do you have the jacket in size m", "do you have the jacket in size s", "number"],
  ["exchange size 38 for size 40", "exchange size 40 for size 38", "number"],
  ["do you accept a card but not cash", "do you accept cash but not a card", "negation"],
  ["can I return what is opened and used", "can I return what is not opened and not used", "negation"],
  ["why don\u00b4t you ship books", "why do you ship books", "negation"],
  ["why don`t you ship books", "why do you ship books", "negation"],
  ["what if I pay", "what unless I pay", "negation"],
  ["do you ship everywhere except islands", "do you ship to islands", "negation"],
  ["shoes w/ laces", "shoes w/o laces", "opposite"],
  ["can I order more pieces", "can I order fewer pieces", "opposite"],
  ["can I play it inside", "can I play it outside", "opposite"],
  ["is it possible to pay there", "is it impossible to pay there", "opposite"],
  ["is assembly included", "is assembly excluded", "opposite"],
  ["when can I pick it up", "where can I pick it up", "question type"],
  ["where can I pick it up", "why can I pick it up", "question type"],
  ["can I convert points to vouchers", "can I convert vouchers to points", "direction"],
  ["is the blender cheaper than the mixer", "is the mixer cheaper than the blender", "direction"],
  ["a voucher instead of a refund", "a refund instead of a voucher", "direction"],
  ["do you ship from rome", "do you ship to rome", "direction"],
  ["are you in rome", "are you in paris", "contrast"],
  ["will prices go up", "will prices go down", "opposite"],
  ["are you open next week", "are you open this week", "time"],
  ["can I call you", "can you call me", "role"],
  ["can I pay in advance", "must I pay in advance", "duty"],
  ["can I return it", "do I have to return it", "duty"],
  ["do you only accept cash", "do you accept cash", "restriction"],
  ["are you open today", "are you open tomorrow", "time"],
  ["do you deliver in the morning", "do you deliver in the evening", "time"],
  ["can I use the card", "can my wife use the card", "value"],
  ["how can I return a coat", "hoe kan ik een jas retourneren", "language"],
  ["do you deliver", "when do you deliver", "question form"],
  ["do you deliver", "how do you deliver", "question form"],
  ["is there a warranty on it", "how long is the warranty on it", "question form"],
  ["how many items can I return", "how can I return items", "question form"],
  ["how far do you deliver", "how do you deliver", "question form"],
  ["how often do you deliver", "when do you deliver", "question type"],
  ["do you ship to the US", "do you ship to us", "value"],
  ["do you ship to the U.S.", "do you ship to us", "value"],
  ["can I return it within 30 days", "can I return it after 30 days", "number"],
  ["can I cancel until dispatch", "can I cancel after dispatch", "direction"],
  ["can I order before noon", "can I order from noon", "direction"],
  ["can I change it during shipping", "can I change it before shipping", "direction"],
  ["is the fee monthly", "is the fee yearly", "time"],
  ["are you open at noon", "are you open at midnight", "time"],
  ["are you open in summer", "are you open in winter", "time"],
  ["does it fit the iphone 12", "does it fit the iphone 12 pro", "value"],
  ["does it fit the s21 ultra", "does it fit the s21", "value"],
  ["can I use a voucher", "can I use several vouchers", "quantity"],
  ["do all items ship", "do some items ship", "opposite"],
  ["which one is the best", "which one is the worst", "opposite"],
  ["what if I pay late", "what if I pay early", "opposite"],
  ["how do I sign in", "how do I sign up", "opposite"],
  ["how do I hide it", "how do I show it", "opposite"],
  ["since when do you sell it", "until when do you sell it", "opposite"],
  ["does the seller pay the buyer", "does the buyer pay the seller", "places"],
  ["do I need a passport and a visa", "do I need a passport or a visa", "places"],
  ["can I log in", "why am I unable to log in", "negation"],
])("%s / %s: %s", (one, other, guard) => {
  expect(guardsBetween(one, other)).toContain(guard);
  expect(guardsBetween(other, one)).toContain(guard);
});

test.each([
  ["a parcel of twenty five kilos", "a parcel of 25 kilos"],
  ["how do I close the account", "i dont know how to close the account"],
  ["how long does delivery take", "How long does the delvery take?"],
  ["please help me to open the parcel", "I need help to open the parcel"],
  ["the scanner does not work", "the scanner is broken"],
  ["is it here in 2-3 days", "is it here in 2 - 3 days"],
  ["where is order# 12345", "where is order 12345"],
  ["is this your number: (020)-1234567", "is this your number: (020) 1234567"],
  ["is the discount 20%-30%", "is the discount 20% - 30%"],
  ["to ship a parcel from rome to paris", "to paris from rome, how do you ship a parcel"],
  ["does the battery work at \u221220 degrees", "does the battery work at -20 degrees"],
  ["is delivery free above \u20ac50", "is delivery free above 50 euro"],
  ["is there a 20% discount", "is there a 20 percent discount"],
  ["a parcel of 5kg", "a parcel of 5 kg"],
  ["open at 9", "open at 9 am"],
  ["good morning, is delivery free", "hello, is delivery free"],
  ["I can't open it, it does not work", "I cannot open it"],
  ["how do I return a coat", "how should I return a coat"],
  ["I only want to open a plan", "I want to open a plan"],
  ["can you call me", "could you please call me"],
  ["are you open", "are you open today"],
  ["open a plan", "open a plan for my wife"],
  ["can I order from rome", "do you ship to rome"],
  ["can I return the coat", "how can I return the coat"],
  ["where can I return the coat", "how can I return the coat"],
  ["could you help me return the coat", "how do I return the coat"],
  ["do you know when you open", "when do you open"],
  ["can't I pay by card", "can I not pay by card"],
  ["how is a coat returned", "how can I return a coat"],
  ["how often can I return it", "how many times can I return it"],
  ["can anyone return it", "can I return it"],
  ["do you ship to the US", "do you ship to the USA"],
  ["PLEASE CALL US", "please call us"],
  ["is it for the iPhone", "is it for the iphone"],
  ["can I pay with PayPal", "can I pay with paypal"],
  ["do you sell phones and cases", "do you sell cases and phones"],
  ["can I order until noon", "can I order before noon"],
  ["why can't I pay", "why am I unable to pay"],
  ["I am not able to pay", "I cannot pay"],
  ["can I return it within 14 days", "can I return it in 14 days"],
  ["are dogs allowed", "is a dog allowed"],
])("nothing forbids: %s / %s", (one, other) => {
  expect(guardsBetween(one, other)).toEqual([]);
});

test.each([
  ["nl", "een pakket van vijfentwintig kilo", "een pakket van 25 kilo", false],
  ["nl", "een pakket van vijfentwintig kilo", "een pakket van 20 kilo", true],
  ["nl", "kan ik ten laatste morgen annuleren", "kan ik morgen annuleren", false],
  ["nl", "elf dagen", "11 dagen", false],
  ["nl", "a parcel of three kilos", "a parcel of four kilos", true],
  ["nl", "a parcel of twenty five kilos", "a parcel of 25 kilos", false],
  ["en", "een pakket van drie kilo", "een pakket van vier kilo", true],
  ["fr", "le four est petit", "le sol est petit", false],
  ["en", "is the elf in stock", "is the 11 in stock", true],
  ["en", "is the elf in stock", "is the red one in stock", false],
])(
  "numbers in words are read where they are numbers alone in a text of the scope (%s): %s / %s",
  (language, one, other, differ) => {
    expect(guardsBetween(one, other, [], undefined, language).includes("number")).toBe(differ);
  },
);

test.each([
  ["kan ik met contant geld betalen", "kan ik niet met contant geld betalen", "negation"],
  ["is verzending gratis boven 50 euro", "is verzending gratis onder 50 euro", "number"],
  ["mag ik binnen 14 dagen ruilen", "mag ik binnen 14 weken ruilen", "number"],
  ["hebben jullie de trui in maat M", "hebben jullie de trui in maat S", "number"],
  ["kan ik meer stuks bestellen", "kan ik minder stuks bestellen", "opposite"],
  ["is de blender goedkoper dan de mixer", "is de mixer goedkoper dan de blender", "direction"],
  ["een bon in plaats van geld", "geld in plaats van een bon", "direction"],
  ["kan ik jullie bellen", "kunnen jullie mij bellen", "role"],
  ["kan ik vooraf betalen", "moet ik vooraf betalen", "duty"],
  ["is de korting alleen voor leden", "is de korting voor leden", "restriction"],
  ["zijn jullie vandaag open", "zijn jullie morgen open", "time"],
  ["wanneer kan ik het ophalen", "waar kan ik het ophalen", "question type"],
  ["leveren jullie op de eilanden", "leveren jullie overal behalve op de eilanden", "negation"],
  ["kan ik ruilen als het gebruikt is", "kan ik ruilen tenzij het gebruikt is", "negation"],
  ["zijn jullie open in mei", "zijn jullie open in juni", "value"],
  ["is het mogelijk te ruilen", "is het onmogelijk te ruilen", "opposite"],
  ["leveren jullie", "wanneer leveren jullie", "question form"],
  ["krijg ik een factuur", "wanneer krijg ik een factuur", "question form"],
  ["mag ik binnen 14 dagen ruilen", "mag ik na 14 dagen ruilen", "number"],
  ["kan ik ruilen binnen een week", "kan ik ruilen na een week", "direction"],
  ["hoe schrijf ik mij in", "hoe schrijf ik mij uit", "opposite"],
  ["hoe meld ik mij aan", "hoe meld ik mij af", "opposite"],
  ["hoeveel stuks mag ik ruilen", "hoe mag ik stuks ruilen", "question form"],
  ["betaalt de koper de verkoper", "betaalt de verkoper de koper", "places"],
  ["mag ik meerdere bonnen gebruiken", "mag ik een bon gebruiken", "quantity"],
  ["kan ik ruilen tot verzending", "kan ik ruilen na verzending", "direction"],
  ["betaal ik maandelijks", "betaal ik jaarlijks", "time"],
  ["heb ik een paspoort en een visum nodig", "heb ik een paspoort of een visum nodig", "places"],
])("in Dutch: %s / %s: %s", (one, other, guard) => {
  expect(guardsBetween(one, other, [], undefined, "nl")).toContain(guard);
  expect(guardsBetween(other, one, [], undefined, "nl")).toContain(guard);
});

test("a word that is a slip away from a known one may be one of its own", () => {
  const scope = { tenant: "acme", assistant: "a", assistantVersion: "1", tier: "small", locale: "en" };
  const cache = createSemanticCache();
  const texts = ["how are shirts washed", "how do I wash the shirts", "can the shirts be washed"];
  for (const [n, text] of [...texts, "how do I wash a coat", "how do I pay", "where is the shop"].entries()) {
    const document = text.includes("shirts") ? "shirts" : `d${n}`;
    cache.add({ v: 1, id: `e${n}`, scope, text, documents: [{ collection: "c", document, revision: 1 }] });
  }
  const { candidates } = cache.lookup({ scope, text: "how do I wash the shorts" }).evidence;
  expect(candidates.find(({ entry }) => entry === "e1")?.refused.join()).toContain("exchange");
});

test("what says the same but for one word that its answer was never asked for with has another answer", () => {
  const scope = { tenant: "acme", assistant: "a", assistantVersion: "1", tier: "small", locale: "en" };
  const cache = createSemanticCache();
  const texts = [
    "Can I bring my cat?",
    "where do you sell food for a cat",
    "how do I pay",
    "a toy for a dog",
  ];
  for (const [n, text] of texts.entries())
    cache.add({
      v: 1,
      id: `e${n}`,
      scope,
      text,
      documents: [{ collection: "c", document: `d${n}`, revision: 1 }],
    });
  const refused = (text: string): string | undefined =>
    cache
      .lookup({ scope, text })
      .evidence.candidates.find(({ entry }) => entry === "e0")
      ?.refused.join();
  expect(refused("Can I bring my dog?")).toContain("places");
  expect(refused("May I bring a cat?")).toBe("");
});

test("a word that many answers have in common is no value, capitals or not", () => {
  const [one, other] = ["close the account at an ATM", "close the account at a counter"];
  expect(guardsBetween(one, other)).toContain("value");
  expect(guardsBetween(one, other, [], (text) => text === "atm")).toEqual([]);
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

test("questions that differ by the thing they are about alone do not share an answer, while documents change", () => {
  const scope = { tenant: "acme", assistant: "a", assistantVersion: "1", tier: "small", locale: "en" };
  const frames = [
    "Which version has the X?",
    "What version does the X have?",
    "Tell me which version the X has",
    "Which version of the X is there now?",
    "Please say what version the X has",
  ];
  const axes = new Map<string, number>();
  /** Each word an axis of its own. */
  const vectorOf = (text: string): Float32Array => {
    const vector = new Float32Array(64);
    for (const { text: word } of wordsOf(text, "en")) {
      if (!axes.has(word)) axes.set(word, axes.size);
      if (word.length > 3) vector[axes.get(word) ?? 0] = 1;
    }
    const length = Math.hypot(...vector);
    return vector.map((x) => x / length);
  };
  let served = 0;
  for (let seed = 1; seed <= 4; seed++) {
    const random = randomOf(seed);
    const cache = createSemanticCache({ errorBound: 0.02, checkShare: 0 });
    for (let n = 0; n < 1_000; n++) {
      if (n % 20 === 0) cache.removeDocument("acme", { collection: "c", document: random.pick(TOPICS) });
      const document = random.pick(TOPICS);
      const text = random.pick(frames).replace("X", document);
      if ([...cache.entries()].some((entry) => entry.text === text)) continue;
      const question = { scope, text, vector: vectorOf(text), found: [{ collection: "c", document }] };
      const verdict = cache.lookup(question);
      if (verdict.kind === "serve") {
        served++;
        expect([text, verdict.entry.documents[0]?.document]).toEqual([text, document]);
      } else
        cache.learn(
          question,
          { id: `e${n}`, documents: [{ collection: "c", document, revision: n }] },
          verdict,
        );
    }
  }
  expect(served).toBeGreaterThan(0);
});
