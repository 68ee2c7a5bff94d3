/** Endings off, so that forms of a word meet. Coarse on purpose: rare letters are compared by character n-grams as well. */
const ENGLISH = /(?:ations?|ments?|ings?|edly|ness|ied|ies|ed|es|ers?|ly|s|e|y)$/;
const DUTCH = /(?:ingen|ing|heden|heid|en|je|s|e|t)$/;
const KEEP = 3;

export function stemOf(word: string, language: string): string {
  const ending = language === "en" ? ENGLISH : language === "nl" ? DUTCH : undefined;
  if (!ending || word.length <= KEEP + 1 || /\d/.test(word)) return word;
  const bare = word.replace(/'.*$/, "");
  const stem = bare.replace(ending, "");
  if (stem.length < KEEP) return bare;
  const last = stem.at(-1);
  return stem.length > KEEP && last === stem.at(-2) && !"aeiou".includes(last ?? "")
    ? stem.slice(0, -1)
    : stem;
}
