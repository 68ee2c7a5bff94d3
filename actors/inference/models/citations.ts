/** Turns the `[n]` markers of an answer into citations of the numbered passages that the prompt showed. */
import type { Citation } from "#contracts/content.ts";
import type { Passage } from "#contracts/job.ts";

// `[1]`, `[1, 3]`; not `[1](https://...)`, which is a link whose text happens to be a number.
const MARKER = /\[(\d{1,3}(?:\s{0,2}[,;]\s{0,2}\d{1,3}){0,9})\](?!\()/g;

export function citationOf(passage: Passage): Citation {
  const { collection, document, revision, title, url, text } = passage;
  return { collection, document, revision, title, ...(url === undefined ? {} : { url }), passage: text };
}

/**
 * The documents an answer names, each once, in the order of first use. Markers beyond the passages are the model's
 * invention and name nothing. The markers stay in the text.
 */
export function citationsOf(text: string, passages: readonly Passage[]): Citation[] {
  const cited = new Map<string, Citation>();
  for (const [, numbers = ""] of text.matchAll(MARKER))
    for (const number of numbers.split(/[,;]/)) {
      const passage = passages[Number(number) - 1];
      if (!passage) continue;
      const document = JSON.stringify([passage.collection, passage.document]);
      if (!cited.has(document)) cited.set(document, citationOf(passage));
    }
  return [...cited.values()];
}
