/** Words of a question or passage, reduced so that "deliveries", "delivered" and "delivery" meet. English and Dutch. */
import { quantityAt, TIME_TERM } from "#contracts/numerals.ts";

// What questions are made of besides their subject. Kept apart from WEAK: those say which of several answers is meant.
const EMPTY = new Set(
  (
    "a about after am an and any are as at be been before but by can could did do does doing for from had has have hello hey hi i if in into is it " +
    "its just let like me my of on or our please say should so some tell than thank thanks that the their them then there these they " +
    "this those to up us want was we were what which will with would yes you your " +
    "aan af al als ben bent bij dan dat de der deze die dit doe doen doet door dus een en er ga gaan gaat geen graag had heb hebben hebt heeft het hier " +
    "hoi hallo ik in is ja je jij jou jouw jullie kan kun kunnen kunt maar mag mij mijn moet moeten na naar nee niet nog nu of om ons onze " +
    "ook op over s te toch u uit uw van voor waren was wat we wel welk welke wij wil wilt word worden wordt zal ze zich zij zijn zo zou"
  ).split(" "),
);
const WEAK = new Set(
  "how long many much when where who why whose soon take takes taking get gets getting got find need know hoe lang lange duurt duren krijg krijgt krijgen vind vinden hoeveel waar waarom wanneer wie snel".split(
    " ",
  ),
);

export interface Term {
  readonly stem: string;
  /** Says which answer is meant rather than what it is about. */
  readonly weak: boolean;
}

/**
 * The meaningful words of a text in a language (ISO 639-1), in order, repeats kept. Numbers in words are the same as in
 * digits, and a length of time is not what a text is about: "after three weeks" asks about the same as "after 30 days".
 */
export function termsOf(text: string, language: string): Term[] {
  const terms: Term[] = [];
  const plain = text
    .normalize("NFKD")
    .replace(/\p{M}+/gu, "")
    .toLowerCase();
  const words = [...plain.matchAll(/[\p{L}\p{N}]+/gu)].map(([word]) => word);
  for (let at = 0; at < words.length; at++) {
    const word = words[at] as string;
    const quantity = quantityAt(words, at, language);
    if (quantity) terms.push({ stem: quantity.term, weak: quantity.term === TIME_TERM });
    else if (!EMPTY.has(word)) terms.push({ stem: stemOf(word), weak: WEAK.has(word) });
    if (quantity) at += quantity.words - 1;
  }
  return terms;
}

const ENDINGS = ["ments", "ingen", "ment", "ings", "ing", "ies", "ied", "ed", "es", "en", "s", "y", "e", "t"];

/** Cuts the endings that carry no meaning; what is left need not be a word. */
export function stemOf(word: string): string {
  if (/\p{N}/u.test(word)) return word;
  let stem = word;
  // Again until nothing is left to cut: "costs" must arrive where "cost" does.
  for (;;) {
    const ending = ENDINGS.find((each) => stem.endsWith(each) && stem.length - each.length >= 3);
    if (ending === undefined) return stem;
    stem = undouble(stem.slice(0, -ending.length));
  }
}

// "shipping" and "ship", "stoppen" and "stop"; Dutch v and z at the end are f and s elsewhere.
function undouble(stem: string): string {
  const last = stem.at(-1) as string;
  if (last === stem.at(-2) && !"aeou".includes(last)) return stem.slice(0, -1);
  return stem;
}

const COMMON_CHARS = 5;
const COMMON_SHARE = 0.7;

/** 1: the same stem; less: one contains the other, as compounds do, or they begin alike; 0: no relation. */
export function likeness(a: string, b: string): number {
  if (a === b) return 1;
  const [short, long] = a.length <= b.length ? [a, b] : [b, a];
  if (short.length < COMMON_CHARS) return 0;
  if (long.startsWith(short)) return 0.8;
  if (long.endsWith(short)) return 0.6;
  let common = 0;
  while (common < short.length && short[common] === long[common]) common++;
  return common >= COMMON_CHARS && common >= short.length * COMMON_SHARE ? 0.6 : 0;
}
