/** Numbers of a text with what they count: 5 kg is not 5 km, and 20 % not 20 euro. Units are a closed class. */
interface Text {
  readonly text: string;
  readonly number: boolean;
}

const UNITS: ReadonlyMap<string, string> = new Map(
  [
    "second seconds sec secs seconde seconden",
    "minute minutes min mins minuut minuten",
    "hour hours hr hrs h uur uren",
    "day days dag dagen",
    "night nights nacht nachten",
    "week weeks weken",
    "month months maand maanden",
    "year years yr yrs jaar jaren",
    "am",
    "pm",
    "euro euros eur",
    "dollar dollars usd",
    "pound pounds gbp",
    "yen jpy",
    "cent cents",
    "percent procent pct",
    "mm millimeter millimeters millimetre millimetres",
    "cm centimeter centimeters centimetre centimetres",
    "m meter meters metre metres",
    "km kilometer kilometers kilometre kilometres",
    "inch inches",
    "ft foot feet voet",
    "mile miles mijl",
    "mg milligram milligrams",
    "g gr gram grams",
    "kg kgs kilo kilos kilogram kilograms",
    "lb lbs",
    "oz ounce ounces",
    "ml milliliter milliliters millilitre",
    "cl",
    "l liter liters litre litres",
    "kb mb gb tb",
    "w watt watts",
    "kw",
    "kwh",
    "mah",
    "v volt volts",
    "celsius c",
    "fahrenheit f",
    "degrees graden",
  ].flatMap((line) => {
    const names = line.split(" ");
    return names.map((name) => [name, line === "kb mb gb tb" ? name : (names[0] as string)] as const);
  }),
);

/** A currency stands before its number as well. */
const CURRENCIES: ReadonlySet<string> = new Set(["euro", "dollar", "pound", "yen"]);
/** Digits with a unit grown on: 5kg, 24h. */
const GROWN = /^([\d.,:-]*\d)(\p{L}+)$/u;

const isDigits = (word: Text | undefined): boolean => /\d$/.test(word?.text ?? "");

/** Whether a word is the unit of the number beside it, and so no word of its own. */
export function isUnitAt(words: readonly Text[], at: number): boolean {
  const unit = UNITS.get(words[at]?.text ?? "");
  if (unit === undefined) return false;
  return isDigits(words[at - 1]) || (CURRENCIES.has(unit) && isDigits(words[at + 1]));
}

/** A number or a code, with what it counts and on which side of it lies what is meant, where the text says so. */
export interface Quantity {
  readonly text: string;
  readonly unit: string | undefined;
  readonly side: "least" | "most" | undefined;
}

const list = (words: string): ReadonlySet<string> => new Set(words.split(" "));
const SIDES = {
  least: list(
    "over above more from since after least minimum min exceeding boven meer vanaf na minstens minimaal sinds",
  ),
  most: list(
    "under below less fewer within until till before most maximum max onder minder binnen tot voor hoogstens maximaal",
  ),
} as const;
/** How far before a number such a word stands: at least, more than. */
const REACH = 2;

/** In the order of the text: 2 adults and 1 child are not 1 adult and 2 children. */
export function quantitiesOf(words: readonly Text[]): Quantity[] {
  return words.flatMap(({ text, number }, at) => {
    if (!number || isUnitAt(words, at)) return [];
    const before = words.slice(Math.max(0, at - REACH), at).reverse();
    const side = before.flatMap((word) =>
      SIDES.least.has(word.text) ? "least" : SIDES.most.has(word.text) ? "most" : [],
    )[0];
    const [, digits = "", name = ""] = GROWN.exec(text) ?? [];
    const grown = UNITS.get(name);
    if (grown) return [{ text: digits, unit: grown, side }];
    if (!isDigits({ text, number }) || text.includes(":")) return [{ text, unit: undefined, side }];
    const currency = isUnitAt(words, at - 1) ? UNITS.get(words[at - 1]?.text ?? "") : undefined;
    const behind = UNITS.get(words[at + 1]?.text ?? "");
    return [{ text, unit: behind ?? (CURRENCIES.has(currency ?? "") ? currency : undefined), side }];
  });
}

/** What differs, as far as both say it. */
export function differentNumbers(ours: readonly Quantity[], others: readonly Quantity[]): string | undefined {
  const said = (all: readonly Quantity[]): string =>
    all.map(({ text, unit, side }) => [side ?? [], text, unit ?? []].flat().join(" ")).join(", ") || "-";
  const areTwo = (one: string | undefined, other: string | undefined): boolean =>
    one !== undefined && other !== undefined && one !== other;
  const same =
    ours.length === others.length &&
    ours.every(({ text, unit, side }, at) => {
      const other = others[at] as Quantity;
      return text === other.text && !areTwo(unit, other.unit) && !areTwo(side, other.side);
    });
  return same ? undefined : `${said(ours)} / ${said(others)}`;
}
