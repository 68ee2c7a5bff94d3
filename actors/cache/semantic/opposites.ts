/** Words that say the contrary of each other, English and Dutch: written from the language, not from any data set. */

/** Two sides of each pair, apart by a bar; `sign_up` is two words. */
const OPPOSITES = `
  on | off
  enable activate aan inschakelen activeren | disable deactivate uit uitschakelen deactiveren
  open opening openen | close closing sluiten
  add adding toevoegen | remove delete removing deleting verwijderen
  create creating aanmaken | delete deleting remove removing close closing cancel verwijderen opzeggen
  start starting beginnen | stop stopping end cancel stoppen
  subscribe subscribing aanmelden abonneren | unsubscribe unsubscribing afmelden uitschrijven
  before voor | after na
  since sinds | until till
  sinds | tot
  with met including included incl inclusief inbegrepen | without zonder excluding excluded excl exclusief
  increase raise verhogen | decrease lower reduce verlagen
  buy buying kopen | sell selling verkopen
  send sending versturen verzenden | receive receiving ontvangen
  lock block freeze blokkeren | unlock unblock unfreeze deblokkeren
  accept approve accepteren | reject decline refuse weigeren
  first eerste | last laatste
  minimum least min minimaal minstens | maximum most max maximaal hoogstens
  cheap cheaper cheapest goedkoop goedkoper | expensive duur duurder
  more meer | less fewer minder
  earlier earliest early eerder vroeger vroeg | later latest late later laatst laat
  longer langer longest langste | shorter korter shortest kortste
  higher hoger highest hoogste | lower lager lowest laagste
  bigger larger groter biggest largest grootste | smaller kleiner smallest kleinste
  better best beter beste | worse worst slechter slechtste
  faster fastest sneller snelste | slower slowest langzamer langzaamste
  newer newest nieuwer nieuwste | older oldest ouder oudste
  heavier heaviest zwaarder zwaarste | lighter lightest lichter lichtste
  warm hot warme | cold koud koude
  wet nat natte | dry droog droge
  inside indoors | outside outdoors
  up omhoog | down omlaag
  deposit storten | withdraw withdrawal opnemen
  login log-in inloggen | logout log-out uitloggen
  sign_in log_in inloggen | sign_up signing_up aanmelden registreren
  import importeren | export exporteren
  upload uploaden | download downloaden
  in binnen | out buiten
  in | uit
  aan | af
  upgrade | downgrade
  encrypt encrypting | decrypt decrypting
  extend extending verlengen | shorten shortening verkorten inkorten
  online | offline
  push pushing duwen duw | pull pulling trekken trek
  hide hiding verbergen verberg | show showing tonen toon
  join joining | leave leaving
  pause pausing pauzeren | resume resuming hervatten
  fill filling vullen | empty emptying legen
  lend uitlenen | borrow lenen
  arrival arrive aankomst aankomen | departure depart vertrek vertrekken
  public openbaar openbare | private prive
  all every alle elke | some sommige
  adult adults volwassene volwassenen | child children kid kids kind kinderen
  buyer buyers koper kopers | seller sellers verkoper verkopers
  sender senders afzender | recipient recipients receiver ontvanger
`
  .trim()
  .split("\n")
  .map((pair) => pair.split("|").map((side) => side.trim().split(/\s+/)));

/** On which sides of which pairs a word stands; the two sides of a pair differ in the last bit. */
const SIDES = new Map<string, number[]>();
/** Words that begin a name of two. */
const BEGINNINGS = new Set<string>();
for (const [pair, sides] of OPPOSITES.entries())
  for (const [side, names] of sides.entries())
    for (const name of names) {
      const text = name.replace("_", " ");
      SIDES.set(text, [...(SIDES.get(text) ?? []), 2 * pair + side]);
      if (text !== name) BEGINNINGS.add(text.split(" ", 1)[0] as string);
    }

export const isSided = (text: string): boolean => SIDES.has(text);

interface Said {
  readonly words: readonly { readonly text: string }[];
  readonly texts: Iterable<string>;
}

/** Sides of pairs, each with the word that says it. */
export type Sides = ReadonlyMap<number, string>;

/** @param texts of the words, and their stems */
export function sidesOf({ words, texts }: Said): Sides {
  const found = new Map<number, string>();
  const look = (text: string): void => {
    for (const side of SIDES.get(text) ?? []) if (!found.has(side)) found.set(side, text);
  };
  for (const text of texts) look(text);
  for (const [at, { text }] of words.entries())
    if (BEGINNINGS.has(text)) look(`${text} ${words[at + 1]?.text}`);
  return found;
}

/** The pair of opposites of which one text has one side alone and the other text the other. */
export function oppositeOf(one: Sides, other: Sides): readonly [string, string] | undefined {
  for (const [side, word] of one) {
    const against = other.get(side ^ 1);
    if (against !== undefined && !one.has(side ^ 1) && !other.has(side)) return [word, against];
  }
  return undefined;
}
