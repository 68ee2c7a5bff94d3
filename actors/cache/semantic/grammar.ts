/** Closed classes of words and pairs of opposites, English and Dutch: written from grammar, not from any data set. */
const list = (words: string): readonly string[] => words.trim().split(/\s+/);

const ENGLISH_WORDS: ReadonlySet<string> = new Set(
  list(`a an the this that these those my your his her its our their mine yours i me you he him she it we us they them
    myself yourself who whom whose which what when where why how and or but nor so if then than as because while though
    although until unless of in on at by for with about against between into through during before after above below to
    from up down out off over under again further once here there all any both each few more most other some such no not
    only own same too very can could will would shall should may might must ought do does did doing done am is are was were
    be been being have has had having want wanna wants need needs needed would like please help hi hello hey thanks thank
    get got gonna gotta lets let know tell also just still yet ever never always now today tomorrow yesterday ok okay yes
    one d s t m re ve ll dont can't cant cannot i'd i'm i've i'll don't doesn't didn't isn't wasn't won't wouldn't
    couldn't haven't hasn't shouldn't aren't weren't hadn't there's what's where's it's im ive id u ya ur many much several every various
    certain additional extra different multiple couple asap lot lots bit quite really damn damned goddamn bloody fucking freaking within using
    someone somebody anyone anybody till able www http https`),
);
const DUTCH_WORDS: ReadonlySet<string> = new Set(
  list(`de het een dit dat deze die mijn jouw uw zijn haar ons onze jullie hun ik mij me jij je u hij hem ze zij wij we
    wie welke welk wat wanneer waar waarom hoe en of maar dus als dan omdat terwijl hoewel tot van in op aan bij voor met
    over tegen tussen door na naar uit af onder boven om te er hier daar alle elk elke meer meest ander andere geen niet
    kan kunnen kunt kon zal zullen zou zouden mag mogen moet moeten wil willen wilt doe doet doen ben bent is was waren
    geweest heb hebt heeft hebben had hadden graag nodig help alstublieft alsjeblieft hallo hoi dank bedankt weet weten ook
    nog al nu vandaag morgen gisteren ja nee ooit nooit altijd zo zich veel enkele verschillende bepaalde extra echt heel
    verdomde verdomd hoeveel hoelang binnen iemand`),
);
const FUNCTION_WORDS: ReadonlySet<string> = new Set([...ENGLISH_WORDS, ...DUTCH_WORDS]);

const DETERMINERS: ReadonlySet<string> = new Set(
  list(`a an the this that these those my your his her its our their ur another any some de het een dit dat deze die mijn je
    jouw uw haar onze ons jullie hun`),
);

export const isDeterminer = (word: string): boolean => DETERMINERS.has(word);

/** What stands before a verb: who does it, and auxiliaries. */
const BEFORE_VERBS: ReadonlySet<string> = new Set(
  list(
    `to i you we they can could will would should must may might cannot can't dont don't te ik je u wij ze kan kun wil`,
  ),
);

export const isBeforeVerb = (word: string): boolean => BEFORE_VERBS.has(word);

const PREPOSITIONS: ReadonlySet<string> = new Set(
  list("to from in for of with at by on via naar uit voor van met bij op per"),
);

export const isPreposition = (word: string): boolean => PREPOSITIONS.has(word);

/** Classes whose members are values wherever they stand: ordinals, days, months, colours, sizes. */
const CLOSED_VALUES: ReadonlySet<string> = new Set([
  ...list(`hundred second third fourth fifth honderd tweede derde vierde vijfde twice thrice tweemaal driemaal
    monday tuesday wednesday thursday friday saturday sunday maandag dinsdag woensdag donderdag vrijdag zaterdag zondag
    january february april june july august september october november december
    januari februari maart mei juni juli augustus oktober
    red blue green black white yellow orange purple pink brown grey gray
    rood rode blauw blauwe groen groene zwart zwarte wit witte geel gele oranje paars paarse roze bruin bruine grijs grijze
    xs xl xxl xxxl`),
]);

/** What tells a product of a number from its sisters: 12, 12 pro, 12 pro max. */
const VARIANTS: ReadonlySet<string> = new Set(list("pro max mini plus ultra lite slim"));

export const isVariantAt = (
  words: readonly { readonly text: string; readonly number: boolean }[],
  at: number,
): boolean => {
  const before = words[at - 1];
  return (
    before !== undefined &&
    VARIANTS.has(words[at]?.text ?? "") &&
    (before.number || VARIANTS.has(before.text))
  );
};

const KIN: ReadonlySet<string> = new Set(
  list(`wife husband spouse son daughter mother father mom mum dad sister brother vrouw echtgenoot echtgenote zoon dochter
    moeder vader zus broer`),
);

/** Somebody else than who writes does it. What is for somebody else is the same for all. */
export function isOtherPersonAt(words: readonly { readonly text: string }[], at: number): boolean {
  const before = words.slice(Math.max(0, at - 2), at).map(({ text }) => text);
  return KIN.has(words[at]?.text ?? "") && !before.includes("for") && !before.includes("voor");
}

/** Days as they are seen from now, parts of days, weeks and years, and how often: one is not another, none may be any. */
const TIMES: ReadonlyMap<string, string> = new Map(
  [
    "today vandaag",
    "tomorrow morgen",
    "yesterday gisteren",
    "tonight vanavond evening evenings avond avonds",
    "morning mornings ochtend ochtends",
    "afternoon afternoons middag middags",
    "night nights vannacht nacht nachts",
    "weekend weekends",
    "weekday weekdays doordeweeks",
    "noon",
    "midnight middernacht",
    "summer zomer zomers",
    "winter winters",
    "spring lente voorjaar",
    "autumn herfst najaar",
    "christmas xmas kerst kerstmis",
    "easter pasen",
    "hourly",
    "daily dagelijks dagelijkse",
    "weekly wekelijks wekelijkse",
    "monthly maandelijks maandelijkse",
    "yearly annual annually jaarlijks jaarlijkse",
  ].flatMap((names) => list(names).map((name) => [name, list(names)[0] as string] as const)),
);

const CYCLES = new Map(
  ["this deze", "next coming volgende komende", "last past previous vorige afgelopen"].flatMap((names) =>
    list(names).map((name) => [name, list(names)[0] as string] as const),
  ),
);
const PERIODS: ReadonlySet<string> = new Set(list("week weekend month year maand jaar"));

export const timesOf = (words: readonly { readonly text: string }[]): string[] =>
  words.flatMap(
    ({ text }, at) =>
      TIMES.get(text) ?? (PERIODS.has(words[at + 1]?.text ?? "") ? (CYCLES.get(text) ?? []) : []),
  );

export const isClosedValue = (word: string): boolean => CLOSED_VALUES.has(word);

/** Known whatever a scope has seen: "yearly" is no slip for "early". */
export const isGrammatical = (word: string): boolean =>
  FUNCTION_WORDS.has(word) || CLOSED_VALUES.has(word) || TIMES.has(word) || NEGATIONS.has(word);

export const isFunctionWord = (word: string): boolean => FUNCTION_WORDS.has(word);

/** Words that deny. Denying that one knows or finds something is only a way to ask. */
const NEGATIONS: ReadonlySet<string> = new Set(
  list(`not no never none nothing nobody without neither nor cannot cant can't dont don't doesnt doesn't didnt didn't wont
    won't isnt isn't arent aren't wasnt wasn't werent weren't havent haven't hasnt hasn't hadnt hadn't couldnt couldn't
    wouldnt wouldn't shouldnt shouldn't mustnt mustn't neednt needn't aint ain't except unless hardly unable
    niet geen nooit niets niks niemand nergens zonder noch behalve tenzij nauwelijks amper`),
);
const OF_KNOWING: ReadonlySet<string> = new Set(
  list(`know knw sure understand remember see find get idea clue how clear certain weet weten zeker snap begrijp vind
    vinden zie zien idee hoe`),
);
/** How far after a negation the word stands that it denies. */
const REACH = 3;

/**
 * What the text denies: of each negation the first word after it that is no small word, or an empty text. Two negations
 * with small words alone between them deny nothing, nor does an even number of them in a story of several sentences.
 */
export function deniedBy(words: readonly { readonly text: string; readonly first?: boolean }[]): string[] {
  const denied: string[] = [];
  for (let at = 0; at < words.length; at++) {
    const next = words.slice(at + 1, at + 1 + REACH);
    if (!NEGATIONS.has(words[at]?.text ?? "") || next.some(({ text }) => OF_KNOWING.has(text))) continue;
    const again = next.findIndex(({ text }) => NEGATIONS.has(text) || !isFunctionWord(text));
    if (NEGATIONS.has(next[again]?.text ?? "")) at += again + 1;
    else denied.push(next[again]?.text ?? "");
  }
  const sentences = words.filter(({ first }) => first).length;
  return sentences > 1 && denied.length % 2 === 0 ? [] : denied;
}

/** Words whose two sides are not the same in exchange: from, to, in exchange for, before, cheaper than, instead of. */
const RELATIONS: ReadonlySet<string> = new Set(
  list(`from to into for by before after than over instead until till within during since
    van vanuit naar voor door na dan boven plaats tot binnen vanaf tijdens sinds`),
);

/** What stands on both sides of such a word. */
export interface Relation {
  readonly word: string;
  readonly before: readonly string[];
  /** Up to the next small word. */
  readonly behind: readonly string[];
}

/** From Rome is not to Rome, until noon not after noon. */
const OTHER_WAYS = new Map<string, ReadonlySet<string>>();
for (const ways of [
  ["from", "to"],
  ["van vanuit", "naar"],
  ["until till before by within", "after since from", "during"],
  ["tot voor binnen", "na sinds vanaf", "tijdens"],
])
  for (const way of ways)
    for (const word of list(way)) {
      const others = ways.filter((other) => other !== way).flatMap(list);
      OTHER_WAYS.set(word, new Set([...(OTHER_WAYS.get(word) ?? []), ...others]));
    }

export const isOtherWay = (word: string, other: string): boolean => OTHER_WAYS.get(word)?.has(other) ?? false;

/** How far before a relation its first side begins. */
const SIDE = 5;

export function relationsOf(words: readonly { readonly text: string }[]): Relation[] {
  const texts = words.map(({ text }) => text);
  return texts.flatMap((word, at) => {
    if (!RELATIONS.has(word)) return [];
    let from = at + 1;
    while (isDeterminer(texts[from] ?? "") || texts[from] === "of" || texts[from] === "van") from++;
    const end = texts.findIndex((text, n) => n >= from && isFunctionWord(text));
    const behind = texts.slice(from, end < 0 ? undefined : end);
    return behind.length > 0 ? [{ word, before: texts.slice(Math.max(0, at - SIDE), at), behind }] : [];
  });
}

/** Words of one language that the other one has not. */
const SPOKEN = new Map<string, "en" | "nl">();
for (const [language, words, others] of [
  ["en", ENGLISH_WORDS, DUTCH_WORDS],
  ["nl", DUTCH_WORDS, ENGLISH_WORDS],
] as const)
  for (const word of words) if (!others.has(word)) SPOKEN.set(word, language);

/** English or Dutch, where the small words of a text leave no doubt: askers write either, whatever their locale is. */
export function spokenIn(words: readonly { readonly text: string }[]): "en" | "nl" | undefined {
  const found = words.flatMap(({ text }) => SPOKEN.get(text) ?? []);
  const english = found.filter((language) => language === "en").length;
  const dutch = found.length - english;
  if (Math.max(english, dutch) < 2 || english === dutch) return undefined;
  return english > dutch ? "en" : "nl";
}

const DENYING = /^(?:un|non|dis|im(?=[bmp])|il(?=l)|ir(?=r)|in|on)(?=\p{L}{4})/u;

/** The word without the syllable that turns it into its contrary: unpaid, impossible, onmogelijk. */
export const withoutDenial = (word: string): string | undefined =>
  DENYING.test(word) ? word.replace(DENYING, "") : undefined;
