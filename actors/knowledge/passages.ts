/**
 * Cuts a document into passages along its structure: one a Markdown section, so that a passage is about one thing and
 * an answer can quote it whole. Long sections are cut between blocks, long blocks between sentences.
 */

export interface PassageText {
  /** Heading of the section; empty before the first one. */
  readonly heading: string;
  /** Markdown of the section without its heading. */
  readonly body: string;
}

/** A section up to here stays whole. */
const MOST_WORDS = 200;
/** A cut section's pieces are filled up to here. */
const AIM_WORDS = 150;

const countWords = (text: string): number => text.split(/\s+/).filter((word) => word !== "").length;

/** The passages of a document in order; at least one, even for a document of headings only. */
export function passagesOf(title: string, markdown: string): PassageText[] {
  const passages = sectionsOf(markdown.replace(/\r\n?/g, "\n")).flatMap(({ heading, body }) =>
    piecesOf(body).map((piece) => ({ heading: heading === title ? "" : heading, body: piece })),
  );
  return passages.length > 0 ? passages : [{ heading: "", body: markdown.trim() }];
}

function sectionsOf(markdown: string): PassageText[] {
  const sections: { heading: string; lines: string[] }[] = [{ heading: "", lines: [] }];
  let fenced = false;
  for (const line of markdown.split("\n")) {
    if (/^\s*(```|~~~)/.test(line)) fenced = !fenced;
    const heading = fenced ? undefined : /^ {0,3}#{1,6}\s+(.+?)\s*#*\s*$/.exec(line)?.[1];
    if (heading === undefined) sections.at(-1)?.lines.push(line);
    else sections.push({ heading, lines: [] });
  }
  return sections
    .map(({ heading, lines }) => ({ heading, body: lines.join("\n").trim() }))
    .filter(({ body }) => body !== "");
}

function piecesOf(body: string): string[] {
  if (countWords(body) <= MOST_WORDS) return [body];
  const blocks = body
    .split(/\n{2,}/)
    .flatMap((block) => (countWords(block) <= MOST_WORDS ? [block] : fill(partsOf(block), " ")));
  return fill(blocks, "\n\n");
}

/** Lines of a list, sentences of a paragraph, and words where there is neither. */
function partsOf(block: string): string[] {
  const lines = block.split("\n");
  const parts = lines.length > 1 ? lines : block.split(/(?<=[.!?])\s+/);
  return parts.flatMap((part) => {
    const words = part.split(/\s+/);
    if (words.length <= MOST_WORDS) return [part];
    return Array.from({ length: Math.ceil(words.length / AIM_WORDS) }, (_, i) =>
      words.slice(i * AIM_WORDS, (i + 1) * AIM_WORDS).join(" "),
    );
  });
}

/** Joins neighbours until a piece has the words aimed at. */
function fill(parts: readonly string[], separator: string): string[] {
  const pieces: string[] = [];
  let piece = "";
  for (const part of parts) {
    if (piece !== "" && countWords(piece) + countWords(part) > AIM_WORDS) {
      pieces.push(piece);
      piece = part;
    } else piece = piece === "" ? part : `${piece}${separator}${part}`;
  }
  return piece === "" ? pieces : [...pieces, piece];
}
