/** What a question asks for, as its form tells: when, how many, yes or no; whether one may or must; who does it to whom. */
import { isFunctionWord } from "./grammar.ts";

const list = (words: string): readonly string[] => words.trim().split(/\s+/);

export type QuestionType =
  | "frequency"
  | "time"
  | "amount"
  | "distance"
  | "reason"
  | "person"
  | "place"
  | "other";

const TYPES: readonly (readonly [Exclude<QuestionType, "other">, RegExp])[] = [
  ["frequency", /\b(?:how (?:often|frequently|many times)|hoe vaak|hoeveel keer)\b/],
  ["time", /\b(?:when|how long|how soon|how quick(?:ly)?|what time|wanneer|hoe lang|hoe laat|hoe snel)\b/],
  ["amount", /\b(?:how much|how many|how expensive|hoeveel|hoe duur)\b/],
  ["distance", /\b(?:how far|hoe ver)\b/],
  ["reason", /\b(?:why|waarom)\b/],
  ["person", /\b(?:who|whom|wie)\b/],
  ["place", /^(?:where|waar)\b/],
];

/** What kind of answer the words ask for, where they say so. @param text words and single spaces, as below */
export function questionType(text: string): QuestionType {
  return TYPES.find(([, pattern]) => pattern.test(text))?.[0] ?? "other";
}

const DOER = "(?:i|we|one|anyone|someone|ik|wij|je|iemand)";
/** How, where and whether one may do it is told together: a way to do it. */
const WAY = new RegExp(
  `^(?:(?:how|where|hoe|waar) )?(?:can(?:'?t|not)?|could|may|might|kan|mag|kunnen|mogen) ${DOER}\\b|^(?:how|where) (?:do|should|to|must|is|are) |^(?:hoe|waar) [a-z]+ ${DOER}\\b|^is (?:it|het) (?:possible|allowed|mogelijk|toegestaan)\\b|^am i (?:allowed|able)\\b`,
);
const MANNER = /^(?:how|hoe)\b/;
const YES =
  /^(?:do|does|did|is|are|was|were|can|could|will|would|may|must|should|has|have|am|zijn|kan|kun|kunnen|mag|mogen|moet|moeten|heeft|hebben|heb|doen|doet|wordt|worden|zit|zitten|bestaat)\b|^(?!(?:hoe|waar|wat|wie|welke?|wanneer|waarom|als|dat|of|en|kan|mag)\b)[a-z]+ (?:ik|jij|je|jullie|u|we|wij|er)\b/;
/** A question or a wish within: do you know how, can you tell me which, could you help me pay. */
const WITHIN =
  /^(?:can|could|will|would|kun|kunnen|wil|zou) (?:you|je|jij|jullie|u) (?:please |misschien )?(?:help|show|me|mij|ons)\b| (?:how|where|which|what|whether|if|hoe|waar|welke?|wat|of) /;

/** The form of answer that is asked for, of questions that say the same else; undefined where many would do. */
export function formOf(text: string, type: QuestionType): string | undefined {
  if (WAY.test(text)) return "way";
  if (type !== "other") return type;
  if (MANNER.test(text)) return "manner";
  return YES.test(text) && !WITHIN.test(text) ? "yes" : undefined;
}

/** Small words, and those that a form is made with. */
const OF_FORMS: ReadonlySet<string> = new Set(
  list("long soon often far quick quickly frequently times lang snel laat vaak ver keer"),
);
export const isOfForm = (word: string): boolean => isFunctionWord(word) || OF_FORMS.has(word);

const RESTRICTING: ReadonlySet<string> = new Set(
  list("only solely exclusively alleen enkel slechts uitsluitend"),
);

/** With what a question begins that does not ask for yes or no, or a sentence that is no question. */
const NO_YES: ReadonlySet<string> = new Set(
  list(`i i'm i've im ive you we he she it they there this that these those the a an my our your why how what when where who
    which hi hello hey ik je u wij we hij zij ze het er dit dat deze die de een mijn onze waarom hoe wat wanneer waar wie
    welke hoi hallo`),
);

/** "Is it only for members" asks for another yes than "is it for members". */
export const restricts = (words: readonly { readonly text: string }[]): boolean =>
  !NO_YES.has(words[0]?.text ?? "") && words.some(({ text }) => RESTRICTING.has(text));

const SEVERAL: ReadonlySet<string> = new Set(list("multiple several meerdere verscheidene"));
/** With what one is asked to do something rather than whether one may. */
const ASKED: ReadonlySet<string> = new Set(list("you je jij jullie u please"));

/** "Can I use several vouchers" asks for another yes than "can I use a voucher". */
export function quantityOf(words: readonly { readonly text: string }[]): string | undefined {
  if (NO_YES.has(words[0]?.text ?? "") || words.slice(0, 2).some(({ text }) => ASKED.has(text)))
    return undefined;
  return words.find(({ text }) => SEVERAL.has(text)) && "several";
}

const MAY =
  /^(?:can|could|may|might|kan|kun|kunnen|mag|mogen|is it (?:possible|allowed)|is het (?:mogelijk|toegestaan)|am i (?:allowed|able))\b/;
const MUST =
  /^(?:must|should|(?:do|does) [a-z]+ (?:need|have) to|moet|moeten|hoef|hoeven|is it (?:required|necessary|mandatory|obligatory)|is het (?:nodig|verplicht)|am i (?:required|obliged))\b/;

/** What a question that asks for yes or no asks about: whether one may, or whether one must. */
export function dutyOf(text: string): "may" | "must" | undefined {
  return MAY.test(text) ? "may" : MUST.test(text) ? "must" : undefined;
}

const ONE = "(?:i|we|ik|wij)";
const OTHER = "(?:you|je|jij|jullie|u)";
const DOES = new RegExp(`\\b${ONE} (?:[a-z]+ )?(?:you|je|jou|jullie|u)\\b`);
const IS_DONE = new RegExp(`\\b${OTHER} (?:[a-z]+ )?(?:me|us|mij|ons)\\b`);

/** Who does it to whom: "I call you" is not "you call me". */
export function towardsOf(text: string): "you" | "me" | undefined {
  const [does, isDone] = [DOES.test(text), IS_DONE.test(text)];
  return does === isDone ? undefined : does ? "you" : "me";
}
