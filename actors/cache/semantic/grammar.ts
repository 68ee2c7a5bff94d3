/** Closed classes of words and pairs of opposites, English and Dutch: written from grammar, not from any data set. */
const list = (words: string): readonly string[] => words.trim().split(/\s+/);

const FUNCTION_WORDS: ReadonlySet<string> = new Set([
  ...list(`a an the this that these those my your his her its our their mine yours i me you he him she it we us they them
    myself yourself who whom whose which what when where why how and or but nor so if then than as because while though
    although until unless of in on at by for with about against between into through during before after above below to
    from up down out off over under again further once here there all any both each few more most other some such no not
    only own same too very can could will would shall should may might must ought do does did doing done am is are was were
    be been being have has had having want wanna wants need needs needed would like please help hi hello hey thanks thank
    get got gonna gotta lets let know tell also just still yet ever never always now today tomorrow yesterday ok okay yes
    one d s t m re ve ll dont can't cant cannot i'd i'm i've i'll don't doesn't didn't isn't wasn't won't wouldn't
    couldn't haven't hasn't shouldn't aren't weren't hadn't there's what's where's it's im ive id u ya ur many much several every various
    certain additional extra different multiple couple asap lot lots bit quite really damn damned goddamn bloody fucking freaking`),
  ...list(`de het een dit dat deze die mijn jouw uw zijn haar ons onze jullie hun ik mij me jij je u hij hem ze zij wij we
    wie welke welk wat wanneer waar waarom hoe en of maar dus als dan omdat terwijl hoewel tot van in op aan bij voor met
    over tegen tussen door na naar uit af onder boven om te er hier daar alle elk elke meer meest ander andere geen niet
    kan kunnen kunt kon zal zullen zou zouden mag mogen moet moeten wil willen wilt doe doet doen ben bent is was waren
    geweest heb hebt heeft hebben had hadden graag nodig help alstublieft alsjeblieft hallo hoi dank bedankt weet weten ook
    nog al nu vandaag morgen gisteren ja nee ooit nooit altijd zo zich veel enkele verschillende bepaalde extra echt heel
    verdomde verdomd`),
]);

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
  ...list(`hundred second third fourth fifth honderd tweede derde vierde vijfde
    monday tuesday wednesday thursday friday saturday sunday maandag dinsdag woensdag donderdag vrijdag zaterdag zondag
    january february april june july august september october november december
    januari februari maart juni juli augustus oktober
    red blue green black white yellow orange purple pink brown grey gray
    rood rode blauw blauwe groen groene zwart zwarte wit witte geel gele oranje paars paarse roze bruin bruine grijs grijze
    xs xl xxl xxxl`),
]);

export const isClosedValue = (word: string): boolean => CLOSED_VALUES.has(word);

export const isFunctionWord = (word: string): boolean => FUNCTION_WORDS.has(word);

/** Words that deny. Denying that one knows or finds something is only a way to ask. */
const NEGATIONS: ReadonlySet<string> = new Set(
  list(`not no never none nothing nobody without neither nor cannot cant can't dont don't doesnt doesn't didnt didn't wont
    won't isnt isn't arent aren't wasnt wasn't werent weren't havent haven't hasnt hasn't hadnt hadn't couldnt couldn't
    wouldnt wouldn't shouldnt shouldn't niet geen nooit niets niks niemand nergens zonder noch`),
);
const OF_KNOWING: ReadonlySet<string> = new Set(
  list(`know knw sure understand remember see find get idea clue able how clear certain weet weten zeker snap begrijp vind
    vinden zie zien idee hoe`),
);
/** How far after a negation the word stands that it denies. */
const REACH = 3;

/**
 * What the text denies: of each negation the first word after it that is no small word, or an empty text. An even number
 * of negations denies nothing.
 */
export function deniedBy(words: readonly { readonly text: string }[]): string[] {
  const denied: string[] = [];
  for (const [at, { text }] of words.entries()) {
    const next = words.slice(at + 1, at + 1 + REACH);
    if (NEGATIONS.has(text) && !next.some((word) => OF_KNOWING.has(word.text)))
      denied.push(next.find((word) => !isFunctionWord(word.text))?.text ?? "");
  }
  return denied.length % 2 === 1 ? denied : [];
}

/** Words by which a way is named: where it begins, and where it ends. */
const WAY: readonly [from: ReadonlySet<string>, to: ReadonlySet<string>] = [
  new Set(list("from van vanuit")),
  new Set(list("to into naar")),
];

/** What stands behind the words for the beginning of a way, and for its end: up to the next small word. */
export function wayOf(words: readonly { readonly text: string }[]): readonly [from: string[], to: string[]] {
  const ends: [string[], string[]] = [[], []];
  for (const [at, { text }] of words.entries())
    for (const [side, before] of WAY.entries()) {
      if (!before.has(text)) continue;
      let next = at + 1;
      while (next < words.length && isDeterminer(words[next]?.text ?? "")) next++;
      for (const { text: end } of words.slice(next, next + REACH)) {
        if (isFunctionWord(end)) break;
        ends[side]?.push(end);
      }
    }
  return ends;
}

const OPPOSITES: readonly (readonly [readonly string[], readonly string[]])[] = (
  [
    ["on", "off"],
    ["enable activate aan inschakelen activeren", "disable deactivate uit uitschakelen deactiveren"],
    ["open opening openen", "close closing sluiten"],
    ["add adding toevoegen", "remove delete removing deleting verwijderen"],
    ["create creating aanmaken", "delete deleting remove removing close closing cancel verwijderen opzeggen"],
    ["start starting beginnen", "stop stopping end cancel stoppen"],
    ["subscribe subscribing aanmelden abonneren", "unsubscribe unsubscribing afmelden uitschrijven"],
    ["before voor", "after na"],
    ["with met", "without zonder"],
    ["increase raise verhogen", "decrease lower reduce verlagen"],
    ["buy buying kopen", "sell selling verkopen"],
    ["send sending versturen verzenden", "receive receiving ontvangen"],
    ["lock block freeze blokkeren", "unlock unblock unfreeze deblokkeren"],
    ["accept approve accepteren", "reject decline refuse weigeren"],
    ["first eerste", "last laatste"],
    ["minimum least min", "maximum most max"],
    ["cheap cheapest goedkoop", "expensive duur"],
    ["deposit storten", "withdraw withdrawal opnemen"],
    ["login log-in inloggen", "logout log-out uitloggen"],
    ["import importeren", "export exporteren"],
    ["upload uploaden", "download downloaden"],
    ["in binnen", "out buiten"],
    ["upgrade", "downgrade"],
  ] as const
).map(([one, other]) => [list(one), list(other)] as const);

/** On which side of which pairs a word stands: a bit a pair. */
const SIDES = new Map<string, { left: number; right: number }>();
for (const [pair, sides] of OPPOSITES.entries())
  for (const [n, words] of sides.entries())
    for (const word of words) {
      const at = SIDES.get(word) ?? { left: 0, right: 0 };
      if (n === 0) at.left |= 1 << pair;
      else at.right |= 1 << pair;
      SIDES.set(word, at);
    }

function sidesOf(words: ReadonlySet<string>): { left: number; right: number } {
  const all = { left: 0, right: 0 };
  for (const word of words) {
    const at = SIDES.get(word);
    if (!at) continue;
    all.left |= at.left;
    all.right |= at.right;
  }
  return all;
}

/** The pair of opposites of which one text has one side and the other text the other side. */
export function oppositeOf(
  one: ReadonlySet<string>,
  other: ReadonlySet<string>,
): readonly [string, string] | undefined {
  const [a, b] = [sidesOf(one), sidesOf(other)];
  const leftAlone = a.left & ~a.right & b.right & ~b.left;
  const pairs = leftAlone | (a.right & ~a.left & b.left & ~b.right);
  if (pairs === 0) return undefined;
  const first = pairs & -pairs;
  const [left, right] = OPPOSITES[31 - Math.clz32(first)] as (typeof OPPOSITES)[number];
  const said = (words: ReadonlySet<string>, names: readonly string[]): string =>
    names.find((name) => words.has(name)) ?? "";
  return leftAlone & first ? [said(one, left), said(other, right)] : [said(one, right), said(other, left)];
}

export type QuestionType = "time" | "amount" | "reason" | "person" | "other";

const TYPES: readonly (readonly [Exclude<QuestionType, "other">, RegExp])[] = [
  ["time", /\b(?:when|how long|how soon|how quick(?:ly)?|what time|wanneer|hoe lang|hoe laat|hoe snel)\b/],
  ["amount", /\b(?:how much|how many|how expensive|hoeveel|hoe duur)\b/],
  ["reason", /\b(?:why|waarom)\b/],
  ["person", /\b(?:who|whom|wie)\b/],
];

/** What kind of answer the words ask for, where they say so. */
export function questionType(words: readonly { readonly text: string }[]): QuestionType {
  const text = words.map((word) => word.text).join(" ");
  return TYPES.find(([, pattern]) => pattern.test(text))?.[0] ?? "other";
}
