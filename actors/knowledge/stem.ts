/**
 * Light stemmers: they bring the forms of a word together (deliver, delivers, delivery, deliveries) and need not give
 * a word. Own, because the npm collections carry 25 languages in 4 MB and Porter keeps `deliver` and `delivery` apart.
 * Input is lower case and folded to base letters.
 */
const VOWEL = /[aeiouy]/;

/** `ship|ping` -> `ship`: a doubled consonant at the end becomes one. */
function undouble(stem: string): string {
  const last = stem.at(-1) ?? "";
  return stem.length > 3 && last === stem.at(-2) && !VOWEL.test(last) ? stem.slice(0, -1) : stem;
}

/** Cuts the suffix when what stays is a possible stem: long enough and with a vowel. */
function cut(word: string, suffix: string, keep = 3): string | undefined {
  if (!word.endsWith(suffix)) return undefined;
  const stem = word.slice(0, -suffix.length);
  return stem.length >= keep && VOWEL.test(stem) ? stem : undefined;
}

const firstCut = (word: string, suffixes: readonly (readonly [string, number])[]): string => {
  for (const [suffix, keep] of suffixes) {
    const stem = cut(word, suffix, keep);
    if (stem !== undefined) return stem;
  }
  return word;
};

function singularEnglish(word: string): string {
  if (word.length < 4 || !word.endsWith("s") || /(ss|us|is)$/.test(word)) return word;
  if (word.endsWith("ies")) return `${word.slice(0, -3)}y`;
  if (/(x|s|z|ch|sh)es$/.test(word)) return word.slice(0, -2);
  return word.slice(0, -1);
}

// The longest first; the number is the fewest letters that must stay.
const ENGLISH_SUFFIXES = [
  ["ations", 4],
  ["ation", 4],
  ["ments", 3],
  ["ment", 3],
  ["ings", 3],
  ["ing", 3],
  ["edly", 3],
  ["ness", 4],
  ["ally", 4],
  ["ed", 3],
  ["ly", 4],
  ["ion", 5],
  ["al", 5],
] as const;

export function stemEnglish(word: string): string {
  if (word.length < 4 || /\d/.test(word)) return word;
  const stem = undouble(firstCut(singularEnglish(word), ENGLISH_SUFFIXES));
  // delivery -> deliver, store -> stor (as storing); day and pay keep their y.
  return stem.length > 3 && /([^aeiou]y|e)$/.test(stem) ? undouble(stem.slice(0, -1)) : stem;
}

/** Winkels, garanties, e-mails; not adres or gratis. */
const DUTCH_PLURAL_S = /(el|er|en|em|je|ie|[bdfgkp])s$/;

function singularDutch(word: string): string {
  const bare = DUTCH_PLURAL_S.test(word) ? word.slice(0, -1) : word;
  const whole = cut(bare.replace(/([mnlrg])\1?etje$/, "$1"), "je") ?? bare.replace(/([mnlrg])\1?etje$/, "$1");
  return undouble(
    firstCut(whole, [
      ["en", 3],
      ["e", 3],
    ]),
  );
}

export function stemDutch(word: string): string {
  if (word.length < 4 || /\d/.test(word)) return word;
  // The participle: geleverd, geannuleerd, geretourneerd.
  const participle = /^ge(.{4,}(?:d|t|en))$/.exec(word)?.[1];
  let stem = singularDutch(participle ?? word);
  stem = undouble(cut(stem, "ing", 4) ?? stem);
  // levert, bezorgd; not pakket or tijd, whose t and d are their own.
  stem = stem.replace(/(..[^aeiouj])[dt]$/, "$1");
  // betaal and betal|en, koop and kop|en: one vowel in the last syllable; geef and gev|en, reis and reiz|en.
  stem = stem.replace(
    /(aa|ee|oo|uu)([^aeiou])$/,
    (_, vowels: string, consonant: string) => `${vowels[0]}${consonant}`,
  );
  return stem.replace(/v$/, "f").replace(/z$/, "s");
}

const STEMMERS: ReadonlyMap<string, (word: string) => string> = new Map([
  ["en", stemEnglish],
  ["nl", stemDutch],
]);
const same = (word: string): string => word;

/** The stemmer of a language; languages without one keep their words whole. */
export const stemmerOf = (language: string): ((word: string) => string) => STEMMERS.get(language) ?? same;
