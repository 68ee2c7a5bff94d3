/** The blocks of a section and the smallest parts that they may be cut into: sentences, items, rows, lines. */

/** A part of a text that is only cut where it would be too long for a passage alone. */
export interface Atom {
  readonly start: number;
  readonly end: number;
  readonly words: number;
  /** Number of its block. */
  readonly block: number;
  /** May stand at the end of one piece and the beginning of the next. */
  readonly repeatable: boolean;
  /** Of a table's row: the lines that name its columns. */
  readonly head?: Span | undefined;
}

export interface Span {
  readonly start: number;
  readonly end: number;
}

type Kind = "text" | "list" | "table" | "code";
interface Block extends Span {
  readonly kind: Kind;
}

/** In languages without spaces a sentence is one run; so many characters of a run count as a word. */
const RUN_CHARS = 12;
/** Backticks that close on their own line are code inside of a text. */
export const FENCE = /^\s*(`{3,}[^`]*$|~~~)/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s/;
const ROW = /^\s*\|/;
const HEAD_LINE = /^[\s:|-]+$/;
const SENTENCE_END = /[.!?]["')\]]?\s+|[。！？]+\s*/gu;

/** How many words the span has; counts no further than `most`. */
export function wordsIn(text: string, start: number, end: number, most = Number.POSITIVE_INFINITY): number {
  let words = 0;
  let run = 0;
  for (let at = start; at < end && words < most; at++) {
    if (isSpace(text.charCodeAt(at))) run = 0;
    else if (run++ % RUN_CHARS === 0) words++;
  }
  return words;
}

const isSpace = (code: number): boolean =>
  code <= 0x20 || code === 0xa0 || code === 0x3000 || (code >= 0x2000 && code <= 0x200a) || code === 0x2028;

/** Every part of the section in order; together they hold all of it but white space. None has more than `most` words. */
export function atomsOf(text: string, start: number, end: number, most: number): Atom[] {
  return blocksOf(text, start, end).flatMap((block, number) => {
    const lines = linesOf(text, block);
    const second = lines[1];
    const head =
      block.kind === "table" && second && isHeadLine(text.slice(second.start, second.end))
        ? { start: block.start, end: second.end }
        : undefined;
    return partsOf(text, block, lines).flatMap((part) =>
      shortened(text, part, most).map((span) => ({
        ...span,
        words: wordsIn(text, span.start, span.end),
        block: number,
        repeatable: block.kind === "text" || block.kind === "list",
        head: head && span.start >= head.end ? head : undefined,
      })),
    );
  });
}

const isHeadLine = (line: string): boolean => HEAD_LINE.test(line) && line.includes("-");

function blocksOf(text: string, start: number, end: number): Block[] {
  const blocks: Block[] = [];
  let open: { start: number; end: number; kind: Kind } | undefined;
  let blank = false;
  let fence = false;
  for (const line of linesOf(text, { start, end })) {
    const words = text.slice(line.start, line.end);
    if (!fence && words.trim() === "") {
      blank = true;
      continue;
    }
    const kind =
      fence || FENCE.test(words) ? "code" : ROW.test(words) ? "table" : ITEM.test(words) ? "list" : "text";
    if (open && (fence || goesOn(open.kind, kind, blank, words))) open.end = line.end;
    else {
      if (open) blocks.push(open);
      open = { start: line.start, end: line.end, kind };
    }
    if (FENCE.test(words)) fence = !fence;
    blank = false;
  }
  if (open) blocks.push(open);
  return blocks;
}

function goesOn(open: Kind, next: Kind, blank: boolean, line: string): boolean {
  if (open === "list" && next !== "table") return next === "list" || !blank || /^\s{2,}/.test(line);
  return open === next && !blank && open !== "code";
}

function linesOf(text: string, { start, end }: Span): Span[] {
  const lines: Span[] = [];
  for (let at = start; at < end; ) {
    const found = text.indexOf("\n", at);
    const to = found < 0 || found > end ? end : found;
    lines.push({ start: at, end: to });
    at = to + 1;
  }
  return lines;
}

function partsOf(text: string, block: Block, lines: readonly Span[]): Span[] {
  switch (block.kind) {
    case "text":
      return cutAt(block, sentenceStarts(text, block));
    case "list": {
      const indent = ITEM.exec(text.slice(block.start, block.end))?.[1]?.length ?? 0;
      const items = lines.filter(({ start, end }) => {
        const item = ITEM.exec(text.slice(start, end));
        return item !== null && (item[1]?.length ?? 0) <= indent;
      });
      return cutAt(
        block,
        items.map((item) => item.start),
      );
    }
    case "table":
    case "code":
      return [...lines];
  }
}

function sentenceStarts(text: string, { start, end }: Span): number[] {
  const starts: number[] = [];
  for (const match of text.slice(start, end).matchAll(SENTENCE_END))
    starts.push(start + match.index + match[0].length);
  return starts;
}

function cutAt({ start, end }: Span, starts: readonly number[]): Span[] {
  const cuts = [start, ...starts.filter((at) => at > start && at < end), end];
  return cuts.slice(0, -1).map((from, at) => ({ start: from, end: cuts[at + 1] as number }));
}

/** A part of too many words is cut between words, and inside of a run where there is no space. */
function shortened(text: string, part: Span, most: number): Span[] {
  const spans: Span[] = [];
  let { start } = part;
  let words = 0;
  let run = 0;
  for (let at = start; at < part.end; at++) {
    if (isSpace(text.charCodeAt(at))) run = 0;
    else if (run++ % RUN_CHARS === 0 && ++words > most && !isLowSurrogate(text.charCodeAt(at))) {
      spans.push({ start, end: at });
      start = at;
      words = 1;
      run = 1;
    }
  }
  spans.push({ start, end: part.end });
  return spans.map((span) => withoutSpaces(text, span)).filter((span) => span.start < span.end);
}

const isLowSurrogate = (code: number): boolean => (code & 0xfc00) === 0xdc00;

function withoutSpaces(text: string, span: Span): Span {
  let { end } = span;
  while (end > span.start && isSpace(text.charCodeAt(end - 1))) end--;
  return { start: span.start, end };
}
