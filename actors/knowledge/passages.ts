/**
 * Cuts a document into passages along its structure: one a Markdown section, so that a passage is about one thing and
 * an answer can quote it whole. A long section is cut between its blocks; a table or list stays whole where it fits, a
 * longer one is cut between rows or items, other text between sentences. Pieces of one section overlap.
 */
import { HEADING_CHARS, type Heading, headingAt } from "#contracts/heading.ts";
import { type Atom, atomsOf, FENCE, wordsIn } from "./blocks.ts";

export interface PassageText {
  /** Headings above the section's own, outermost first. */
  readonly above: readonly string[];
  /** Heading of the section; empty before the first one. */
  readonly heading: string;
  /** Markdown of the section without its heading, as it stands in the document. */
  readonly body: string;
}

export const PASSAGE_WORDS = {
  /** A section up to here stays whole, and so does a block inside a longer one. */
  most: 200,
  /** A cut section's pieces are filled up to here. */
  aim: 150,
  /** A piece begins with the end of the one before it: whole sentences or items, at most so many words. */
  overlap: 30,
  /** A table's head up to here is repeated in each piece of the table. */
  head: 40,
} as const;

/** White space that no author means; to quote it would cost every model that reads it. */
const LONG_SPACE = /[^\S\n]{100,}/g;
const LONG_GAP = /\s{100,}/g;

/** The passages of a document in order; at least one, even for a document of headings only. */
export function passagesOf(title: string, markdown: string): PassageText[] {
  const lines = markdown.includes("\r") ? markdown.replace(/\r\n?/g, "\n") : markdown;
  const text = lines.replace(LONG_SPACE, " ").replace(LONG_GAP, "\n\n");
  const passages = sectionsOf(text).flatMap(({ path, start, end }) => {
    const heading = path.at(-1) ?? "";
    // The title stands with every passage already.
    const above = path.slice(0, -1).filter((name) => name !== title);
    return piecesOf(text, start, end).map((body) => ({
      above,
      heading: heading === title ? "" : heading,
      body,
    }));
  });
  return passages.length > 0 ? passages : [{ above: [], heading: "", body: text.trim() }];
}

interface Section {
  /** Headings that lead to it, its own last. */
  readonly path: readonly string[];
  readonly start: number;
  readonly end: number;
}

function sectionsOf(text: string): Section[] {
  const sections: Section[] = [];
  let open: Heading[] = [];
  let fenced = false;
  let start = 0;
  /** The line before this one where it stands alone: only such a line can be underlined. */
  let alone: { start: number; line: string } | undefined;
  let blank = true;
  const close = (end: number): void => {
    const [from, to] = trimmed(text, start, end);
    if (from < to) sections.push({ path: open.map(({ name }) => name), start: from, end: to });
  };
  for (let at = 0; at < text.length; ) {
    const end = endOfLine(text, at);
    const line = text.slice(at, end);
    if (FENCE.test(line)) fenced = !fenced;
    const heading = fenced ? undefined : (headingAt(line) ?? underlined(alone?.line ?? "", line));
    if (heading) {
      close(headingAt(line) ? at : (alone?.start ?? at));
      open = [...open.filter(({ level }) => level < heading.level), heading];
      start = end + 1;
    }
    const empty = heading !== undefined || line.trim() === "";
    alone = !empty && blank ? { start: at, line } : undefined;
    blank = empty;
    at = end + 1;
  }
  close(text.length);
  return sections;
}

/** A line with a line of equals signs or dashes under it. */
function underlined(above: string, line: string): Heading | undefined {
  const under = /^ {0,3}(=+|-{2,})\s*$/.exec(line)?.[1];
  if (!under || !/^[^\s|>#*+-]/.test(above)) return undefined;
  return { level: under[0] === "=" ? 1 : 2, name: above.trim().slice(0, HEADING_CHARS) };
}

function endOfLine(text: string, at: number): number {
  const end = text.indexOf("\n", at);
  return end < 0 ? text.length : end;
}

/** The span without white space at its ends. */
function trimmed(text: string, start: number, end: number): [number, number] {
  let [from, to] = [start, end];
  while (from < to && /\s/.test(text[from] as string)) from++;
  while (to > from && /\s/.test(text[to - 1] as string)) to--;
  return [from, to];
}

function piecesOf(text: string, start: number, end: number): string[] {
  if (wordsIn(text, start, end, PASSAGE_WORDS.most + 1) <= PASSAGE_WORDS.most)
    return [text.slice(start, end)];
  const atoms = atomsOf(text, start, end, PASSAGE_WORDS.aim);
  const units = unitsOf(atoms);
  const pieces: string[] = [];
  let before = 0;
  for (let unit = 0; unit < units.length; ) {
    const { first } = units[unit] as Unit;
    let words = 0;
    let last = first;
    do {
      const next = units[unit++] as Unit;
      words += next.words;
      last = next.last;
    } while (unit < units.length && words + (units[unit] as Unit).words <= PASSAGE_WORDS.aim);
    const head = headOf(text, atoms[first] as Atom, PASSAGE_WORDS.most - words);
    const from = head === "" ? overlapFrom(atoms, first, before, PASSAGE_WORDS.most - words) : first;
    pieces.push(head + text.slice((atoms[from] as Atom).start, (atoms[last] as Atom).end));
    before = first;
  }
  return pieces;
}

/** What stays together: a block that fits, or one part of a block that does not. By index of its atoms. */
interface Unit {
  readonly first: number;
  readonly last: number;
  readonly words: number;
}

function unitsOf(atoms: readonly Atom[]): Unit[] {
  const units: Unit[] = [];
  for (let first = 0; first < atoms.length; ) {
    const { block } = atoms[first] as Atom;
    let last = first;
    let words = 0;
    while (atoms[last]?.block === block) words += (atoms[last++] as Atom).words;
    if (words <= PASSAGE_WORDS.most) units.push({ first, last: last - 1, words });
    else
      for (let at = first; at < last; at++)
        units.push({ first: at, last: at, words: (atoms[at] as Atom).words });
    first = last;
  }
  return units;
}

/** The head of the table whose rows go on here; empty for anything else. */
function headOf(text: string, { head }: Atom, room: number): string {
  if (!head) return "";
  const words = wordsIn(text, head.start, head.end, room + 1);
  if (words > Math.min(room, PASSAGE_WORDS.head)) return "";
  return `${text.slice(head.start, head.end)}\n`;
}

/** Index of the atom that a piece begins with when it repeats the end of the piece before it. */
function overlapFrom(atoms: readonly Atom[], first: number, before: number, room: number): number {
  let from = first;
  let words = 0;
  while (from - 1 > before) {
    const atom = atoms[from - 1] as Atom;
    words += atom.words;
    if (!atom.repeatable || words > Math.min(room, PASSAGE_WORDS.overlap)) break;
    from--;
  }
  return from;
}
