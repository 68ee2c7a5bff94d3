/**
 * Which language a text is written in. The one file that knows the recogniser (eld, its smallest data set: 1 MB, 60
 * languages, no network). It is loaded when it is first asked: that takes 0.14 s of CPU, a fifth of a start, and who
 * makes vectors or ends cached answers is never asked where documents say their language.
 */
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

type Recogniser = typeof import("eld/extrasmall")["eld"];
let loaded: Recogniser | undefined;

function recogniser(): Recogniser {
  if (loaded) return loaded;
  // Its package names itself to `import` alone, and only `require` gives a module at once.
  const path = fileURLToPath(import.meta.resolve("eld/extrasmall"));
  loaded = (createRequire(import.meta.url)(path) as { eld: Recogniser }).eld;
  return loaded;
}

/** For whoever answers people, before the first of them waits for it. */
export const loadLanguages = (): void => void recogniser();

/** Shorter texts are names, codes and greetings, on which any recogniser guesses. */
const RELIABLE_CHARS = 20;
/** Of a text up to here the recogniser is often sure and wrong ("I forgot my password" is Italian): it has to score well. */
const SHORT_CHARS = 60;
const SHORT_SCORE = 0.73;
/** More of a text tells nothing new, and recognising is linear in its length. */
const SAMPLE_CHARS = 2_000;

/** ISO 639-1 code of a text's language; undefined where the text does not say reliably. */
export function languageOf(text: string): string | undefined {
  const sample = text.slice(0, SAMPLE_CHARS).trim();
  if (sample.length < RELIABLE_CHARS) return undefined;
  const found = recogniser().detect(sample);
  if (found.language === "" || !found.isReliable()) return undefined;
  if (sample.length < SHORT_CHARS && (found.getScores()[found.language] ?? 0) < SHORT_SCORE) return undefined;
  return found.language;
}

/** The language of a BCP 47 tag, lower case: `nl-BE` -> `nl`. */
export function baseLanguage(locale: string): string {
  return locale.toLowerCase().split(/[-_]/, 1)[0] ?? "";
}
