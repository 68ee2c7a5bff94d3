// The pieces under the index: words, stems, passages, languages, freshness.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Freshness } from "#actors/knowledge/freshness.ts";
import { baseLanguage, languageOf } from "#actors/knowledge/language.ts";
import { stemDutch, stemEnglish } from "#actors/knowledge/stem.ts";
import { Vocabulary } from "#actors/knowledge/vocabulary.ts";
import { termsOf, wordsOf } from "#actors/knowledge/words.ts";
import { TIME_TERM } from "#contracts/numerals.ts";

describe("words", () => {
  test("diacritics, case, apostrophes and hyphens do not keep words apart", () => {
    expect(wordsOf("Één café-bon, \u201cfoto's\u201d ﬁn")).toEqual(["een", "cafe", "bon", "foto", "fin"]);
  });
  test("prices, times and codes stay whole", () => {
    expect(wordsOf("€4.95 at 22:00 for AC12345")).toEqual(["4.95", "at", "22:00", "for", "ac12345"]);
  });
  test("lengths of time become one term", () => {
    expect(termsOf("How long does a return take?", "en")).toEqual([TIME_TERM, "return"]);
    expect(termsOf("retourneren na 3 weken", "nl")).toEqual(["retourner", TIME_TERM]);
    expect(termsOf("a return after twenty-one days", "en")).toEqual(["return", TIME_TERM]);
    expect(termsOf("retourneren na drieëntwintig dagen", "nl")).toEqual(["retourner", TIME_TERM]);
  });
  test("numbers in words are numbers, in their own language", () => {
    expect(termsOf("sixty-five parcels, two to ten", "en")).toEqual(["65", "parcel", "2", "10"]);
    expect(termsOf("elf pakketten ten onrechte", "nl")).toEqual(["11", "pakket", "onrech"]);
    expect(termsOf("elf", "en")).toEqual(["elf"]);
  });
  test("any text gives terms without white space", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "grapheme" }),
        fc.constantFrom("en", "nl", "fr", "", "constructor", "__proto__"),
        (text, language) => {
          for (const term of termsOf(text, language)) expect(term).toMatch(/^\S+$/);
        },
      ),
    );
  });
});

describe("stems", () => {
  test.each([
    ["deliver", "delivers", "delivered", "delivery", "deliveries"],
    ["cancel", "cancelled", "cancelling", "cancellation"],
    ["pay", "pays", "paying", "payment", "payments"],
    ["ship", "shipping", "shipped", "shipment"],
    ["store", "stores", "storing"],
  ])("English: %s %s %s", (...forms) => {
    expect(new Set(forms.map(stemEnglish)).size).toBe(1);
  });
  test.each([
    ["leveren", "levert", "geleverd", "levering", "leveringen"],
    ["betaal", "betaalt", "betalen", "betaald", "betaling"],
    ["bestel", "bestelt", "bestellen", "besteld", "bestelling", "bestellingen"],
    ["annuleer", "annuleren", "geannuleerd", "annulering"],
    ["pakket", "pakketten", "pakketje"],
    ["adres", "adressen"],
    ["levertijd", "levertijden"],
    ["winkel", "winkels"],
  ])("Dutch: %s %s %s", (...forms) => {
    expect(new Set(forms.map(stemDutch)).size).toBe(1);
  });
});

test("a Dutch word stands for compounds with it, a compound for its parts", () => {
  const vocabulary = new Vocabulary("nl");
  for (const term of ["levertijd", "bezorgkos", "retour", "kost", "kos"]) vocabulary.add(term);
  const expand = (term: string): string[] => vocabulary.expand(term).map((expansion) => expansion.term);
  expect(expand("lever")).toEqual(["levertijd"]);
  expect(expand("retourkost")).toEqual(["retour", "kost"]);
  vocabulary.remove("levertijd");
  expect(expand("lever")).toEqual([]);
});

describe("language", () => {
  test.each([
    ["How long does delivery take within the country?", "en"],
    ["Hoe lang duurt de levering binnen Nederland?", "nl"],
    ["Combien de temps prend la livraison ?", "fr"],
    ["ok", undefined],
    ["I forgot my password", undefined],
    ["12345 67890 12345 67890 12345", undefined],
  ])("%s -> %s", (text, language) => {
    expect(languageOf(text)).toBe(language);
  });
  test("of a tag", () => {
    expect(["nl-BE", "EN", "pt_BR", ""].map(baseLanguage)).toEqual(["nl", "en", "pt", ""]);
  });
});

describe("freshness", () => {
  test("beats that come back keep it, a gap ends it, and only catching up restores it", () => {
    const freshness = new Freshness(0);
    for (let at = 0; at <= 5_000; at += 500) freshness.heard(at);
    expect(freshness.fresh(6_400)).toBe(true);
    expect(freshness.fresh(6_600)).toBe(false);
    freshness.heard(6_600);
    expect(freshness.fresh(6_601)).toBe(false);
    freshness.caughtUp();
    expect(freshness.fresh(6_601)).toBe(true);
  });
  test("a gap between two beats is seen by the second, whether or not anybody asked", () => {
    const freshness = new Freshness(0);
    freshness.heard(2_000);
    expect(freshness.fresh(2_000)).toBe(false);
  });
});
