/** Passages cut into what can be quoted: sections with their heading, and the sentences of plain text. */
import type { Passage } from "#contracts/job.ts";

export interface Section {
  readonly passage: Passage;
  /** How good its passage is next to the best one retrieved, 0 to 1. */
  readonly standing: number;
  /** Empty where the text has none. */
  readonly heading: string;
  /** Paragraphs and lists as they stand in the document. */
  readonly blocks: readonly string[];
}

const HEADING = /^#{1,6}\s+(.+?)\s*#*$/;

export function sectionsOf(passages: readonly Passage[]): Section[] {
  const best = passages.reduce((most, { score }) => Math.max(most, score), 0);
  return passages.flatMap((passage) => {
    const standing = best > 0 ? Math.max(0, passage.score) / best : 1;
    const sections: Section[] = [];
    let heading = "";
    let lines: string[] = [];
    const close = (): void => {
      const blocks = blocksOf(lines);
      if (blocks.length > 0) sections.push({ passage, standing, heading, blocks });
      lines = [];
    };
    for (const line of passage.text.split(/\r?\n/)) {
      const match = HEADING.exec(line);
      if (match) {
        close();
        heading = match[1] as string;
      } else lines.push(line);
    }
    close();
    return sections;
  });
}

function blocksOf(lines: readonly string[]): string[] {
  return lines
    .join("\n")
    .split(/\n[ \t]*\n/)
    .map((block) => block.replace(/^\n+|\s+$/g, ""))
    .filter((block) => block.trim() !== "");
}

export const isList = (block: string): boolean => /^\s*([-*+]|\d{1,3}[.)])\s/.test(block);

/** Sentences of a paragraph, verbatim. A full stop inside a number or an abbreviation such as "e.g." ends none. */
export function sentencesOf(paragraph: string): string[] {
  return paragraph
    .split(/(?<=[.!?]["')\]]?)\s+(?=["'(]?[\p{Lu}\p{N}])/u)
    .map((sentence) => sentence.trim())
    .filter((sentence) => sentence !== "");
}
