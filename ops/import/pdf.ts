/**
 * PDF to Markdown. A PDF knows glyphs at places and no structure: lines are what stands at one height, paragraphs end at
 * wider gaps, headings are set larger than most of the text. The one file that knows unpdf.
 */
import { extractTextItems, getDocumentProxy, getMeta, type StructuredTextItem } from "unpdf";
import type { Read } from "./format.ts";

interface Line {
  readonly text: string;
  readonly size: number;
  readonly left: number;
  /** Distance to the line above, in its own height; 0 for the first of a page. */
  readonly gap: number;
}

/** Text so much larger than most is a heading. */
const HEADING_SIZE = 1.15;
const HEADING_CHARS = 120;
/** Lines further apart, in line heights, are of different paragraphs. */
const PARAGRAPH_GAP = 1.6;
/** What begins or ends so many pages is none of their text. */
const MARGIN_PAGES = 3;

/** @throws Error for a file that is broken, needs a password, or holds pictures of text only */
export async function readPdf(bytes: Uint8Array): Promise<Read> {
  const pdf = await getDocumentProxy(new Uint8Array(bytes), { verbosity: 0 }).catch((cause: unknown) => {
    const name = cause instanceof Error ? cause.name : "";
    throw new Error(
      name === "PasswordException" ? "needs a password" : `cannot be read as PDF (${messageOf(cause)})`,
    );
  });
  try {
    const { items } = await extractTextItems(pdf);
    const text = markdownOf(withoutMargins(items.map(linesOf)));
    if (text === "")
      throw new Error("holds no text; if its pages are pictures, it needs text recognition first");
    const { info } = await getMeta(pdf);
    const title = typeof info.Title === "string" ? info.Title.trim() : "";
    return { text, title: title === "" ? undefined : title };
  } finally {
    await pdf.destroy();
  }
}

function linesOf(items: readonly StructuredTextItem[]): Line[] {
  const lines: { parts: string[]; size: number; y: number; left: number; right: number }[] = [];
  for (const { str, x, y, width, fontSize } of items) {
    if (str.trim() === "") continue;
    const last = lines.at(-1);
    if (last && Math.abs(last.y - y) < fontSize / 2) {
      // Words are drawn apart; a space is often only a gap.
      last.parts.push(
        x - last.right > fontSize * 0.15 && !/\s$/.test(last.parts.at(-1) ?? "") ? ` ${str}` : str,
      );
      last.size = Math.max(last.size, fontSize);
      last.right = x + width;
    } else lines.push({ parts: [str], size: fontSize, y, left: x, right: x + width });
  }
  return lines.map(({ parts, size, left, y }, at) => ({
    text: parts.join("").replace(/\s+/g, " ").trim(),
    size,
    left,
    gap: at === 0 ? 0 : Math.abs((lines[at - 1]?.y ?? y) - y) / (size || 1),
  }));
}

/**
 * Numbers of pages and what stands above or below each of them would come in the middle of sentences. The first of what is
 * repeated stays: nothing is lost.
 */
function withoutMargins(pages: readonly (readonly Line[])[]): Line[][] {
  const seen = new Map<string, number>();
  const nameAt = (page: number, { text }: Line): string =>
    /^\d+$/.test(text) ? `${Number(text) - page}` : ` ${text.replace(/\d+/g, "")}`;
  const edgesOf = (lines: readonly Line[]): Line[] => [
    ...new Set([...lines.slice(0, 1), ...lines.slice(-1)]),
  ];
  for (const [page, lines] of pages.entries())
    for (const line of edgesOf(lines)) {
      const name = nameAt(page, line);
      seen.set(name, (seen.get(name) ?? 0) + 1);
    }
  const kept = new Set<string>();
  return pages.map((lines, page) => {
    const edges = edgesOf(lines);
    return lines.filter((line) => {
      const name = nameAt(page, line);
      if (!edges.includes(line) || (seen.get(name) ?? 0) < MARGIN_PAGES) return true;
      if (kept.has(name) || !name.startsWith(" ")) return false;
      kept.add(name);
      return true;
    });
  });
}

function markdownOf(pages: readonly (readonly Line[])[]): string {
  const usual = usualSize(pages.flat());
  const blocks: string[] = [];
  let paragraph = "";
  /** Where the mark of an open item stands: what belongs to the item is further in. */
  let mark: number | undefined;
  const close = (): void => {
    if (paragraph !== "") blocks.push(paragraph);
    paragraph = "";
    mark = undefined;
  };
  for (const { text, size, left, gap } of pages.flat()) {
    if (size > usual * HEADING_SIZE && text.length <= HEADING_CHARS) {
      close();
      blocks.push(`## ${text}`);
    } else if (/^[\u2022\u25cf\u25e6\u2013*-]\s/.test(text)) {
      close();
      paragraph = `- ${text.slice(1).trim()}`;
      mark = left;
    } else {
      if (gap > PARAGRAPH_GAP || (mark !== undefined && left < mark + size / 2)) close();
      // A hyphen before a small letter was only needed for the line.
      paragraph =
        /\p{L}-$/u.test(paragraph) && /^\p{Ll}/u.test(text)
          ? `${paragraph.slice(0, -1)}${text}`
          : `${paragraph}${paragraph === "" ? "" : " "}${text}`;
    }
  }
  close();
  return blocks.join("\n\n").replace(/^(- .*)\n\n(?=- )/gm, "$1\n");
}

/** The size that most characters are set in. */
function usualSize(lines: readonly Line[]): number {
  const chars = new Map<number, number>();
  for (const { text, size } of lines) {
    const rounded = Math.round(size * 2) / 2;
    chars.set(rounded, (chars.get(rounded) ?? 0) + text.length);
  }
  return [...chars].sort((a, b) => b[1] - a[1])[0]?.[0] ?? 0;
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
