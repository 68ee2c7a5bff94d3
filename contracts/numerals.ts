/**
 * Numbers written in words, in English and Dutch: one to twenty, the tens, and what stands between them; and lengths of
 * time. Words are folded: lower case, without diacritics. "One" and "een" alone are no numbers: they are pronoun and
 * article far more often.
 */

interface Spelling {
  /** One to nine, in their order. */
  readonly units: readonly string[];
  /** Ten to nineteen. */
  readonly teens: readonly string[];
  /** Twenty to ninety. */
  readonly tens: readonly string[];
  /** A unit before a ten in one word; absent: behind it, as a word of its own. */
  readonly joined?: (unit: string, ten: string) => string;
}

const list = (words: string): string[] => words.split(" ");

const ENGLISH: Spelling = {
  units: list("one two three four five six seven eight nine"),
  teens: list("ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"),
  tens: list("twenty thirty forty fifty sixty seventy eighty ninety"),
};
const DUTCH: Spelling = {
  units: list("een twee drie vier vijf zes zeven acht negen"),
  teens: list("tien elf twaalf dertien veertien vijftien zestien zeventien achttien negentien"),
  tens: list("twintig dertig veertig vijftig zestig zeventig tachtig negentig"),
  joined: (unit, ten) => `${unit}en${ten}`,
};

/** Numbers by their words, and those that may stand behind a ten. */
interface Numerals {
  readonly values: ReadonlyMap<string, number>;
  readonly behindTens: ReadonlyMap<string, number>;
}

function numeralsOf({ units, teens, tens, joined }: Spelling): Numerals {
  const behindTens = new Map(joined ? [] : units.map((unit, n) => [unit, n + 1]));
  const values = new Map([...units.slice(1), ...teens].map((word, n) => [word, n + 2]));
  for (const [n, ten] of tens.entries()) {
    values.set(ten, 10 * (n + 2));
    if (joined) for (const [m, unit] of units.entries()) values.set(joined(unit, ten), 10 * (n + 2) + m + 1);
  }
  return { values, behindTens };
}

/** A map, since a language is what a client says: no object may answer for "constructor". */
const BY_LANGUAGE: ReadonlyMap<string, Numerals> = new Map([
  ["en", numeralsOf(ENGLISH)],
  ["nl", numeralsOf(DUTCH)],
]);

/**
 * The number whose words begin here.
 * @param language ISO 639-1; one that is not known here has no numerals @returns its digits, and how many words it takes
 */
export function numeralAt(
  words: readonly string[],
  at: number,
  language: string,
): { readonly digits: string; readonly words: number } | undefined {
  const known = BY_LANGUAGE.get(language);
  const value = known?.values.get(words[at] ?? "");
  if (known === undefined || value === undefined) return undefined;
  const unit = value >= 20 && value % 10 === 0 ? known.behindTens.get(words[at + 1] ?? "") : undefined;
  return unit === undefined
    ? { digits: String(value), words: 1 }
    : { digits: String(value + unit), words: 2 };
}

const OTHER: ReadonlyMap<string, string> = new Map([
  ["en", "nl"],
  ["nl", "en"],
]);
/** Numbers in one of the two and something else in the other: "ten eerste", "an elf". */
const AMBIGUOUS: ReadonlySet<string> = new Set(["ten", "elf"]);

/** As `numeralAt`, for a text whose writer may have taken the other of the two languages. */
export function numeralInEitherAt(
  words: readonly string[],
  at: number,
  language: string,
): ReturnType<typeof numeralAt> {
  const own = numeralAt(words, at, language);
  const other = OTHER.get(language);
  if (own || other === undefined || AMBIGUOUS.has(words[at] ?? "")) return own;
  return numeralAt(words, at, other);
}

/**
 * Stands for any length of time: what a question with "how long" or "after 3 weeks" asks for is where the text has "30
 * days". It ranks what is found and says nothing about its topic.
 */
export const TIME_TERM = "@time";
const TIME_WORDS: ReadonlySet<string> = new Set(
  list(
    "minute minutes hour hours day days week weeks month months year years minuut minuten uur uren dag dagen weken maand maanden jaar jaren",
  ),
);

/**
 * The number in words or the length of time that begins here. "3 weeks" is one length of time, and "three weeks" is the
 * same one. @returns its digits or `TIME_TERM`, and how many words it takes
 */
export function quantityAt(
  words: readonly string[],
  at: number,
  language: string,
): { readonly term: string; readonly words: number } | undefined {
  const numeral = numeralAt(words, at, language);
  const word = words[at] ?? "";
  const end = at + (numeral?.words ?? 1);
  if ((numeral || isNumber(word)) && TIME_WORDS.has(words[end] ?? ""))
    return { term: TIME_TERM, words: end + 1 - at };
  if (numeral) return { term: numeral.digits, words: numeral.words };
  return TIME_WORDS.has(word) || asksHowLong(word, words[at + 1]) ? { term: TIME_TERM, words: 1 } : undefined;
}

// Most words are told by their first character; this runs for every word of every document.
const isNumber = (word: string): boolean => word.charCodeAt(0) <= 0x39 && /^\d+$/.test(word);

const asksHowLong = (word: string, next: string | undefined): boolean =>
  (word === "how" || word === "hoe") && next !== undefined && (next.startsWith("long") || next === "lang");
