/** What the page does to an answer's Markdown before and beside rendering it. Pure text. */
import { type Block, type Inline, parseMarkdown } from "#contracts/content.ts";

/** `[1]` or `[1, 2]` with the space before it: a reference to the answer's citations. */
export const MARKER = /\s?\[(\d{1,2}(?:\s*,\s*\d{1,2})*)\]/g;

/** A bracket at the end that may still become a link or a reference. */
const OPEN_BRACKET = /\s?\[[^\]\n]{0,200}(?:\](?:\([^)\s]*)?)?$/;
const WHOLE_MARKER = /^\s?\[\d[\d, ]*\]$/;

const isStrongOpen = (text: string): boolean => (text.match(/\*\*/g)?.length ?? 0) % 2 === 1;
const isCodeOpen = (text: string): boolean => (text.match(/^ {0,3}```/gm)?.length ?? 0) % 2 === 1;

/**
 * Text that still grows often ends inside `**strong`, a `[marker` or a `[link](https://…`: stars and brackets would
 * flash up and vanish. Strong text is closed at the end; an unfinished bracket waits for its rest.
 */
export function closeOpenMarks(text: string): string {
  if (isCodeOpen(text)) return text;
  const shown = text
    .replace(OPEN_BRACKET, (bracket) => (WHOLE_MARKER.test(bracket) ? bracket : ""))
    .replace(/(^|\s)\*+$/, "");
  const lastBlock = shown.lastIndexOf("\n\n") + 1;
  if (!isStrongOpen(shown.slice(lastBlock))) return shown;
  const bare = shown.replace(/\*+$/, "").trimEnd();
  return isStrongOpen(bare.slice(lastBlock)) ? `${bare}**` : bare;
}

/** A line that begins a block of its own after an empty one, whatever stood before: no item, quote or code goes on in it. */
const BEGINS = /^(?:\p{L}|\*\*|#{1,6} )/u;
const FENCE = /^ {0,3}(`{3,}|~{3,})(.*)/;

/** The marks that close the code in which the next line stands; empty outside of code. */
function fenceAfter(open: string, line: string): string {
  const [, marks = "", rest = ""] = FENCE.exec(line) ?? [];
  if (open !== "") return marks.startsWith(open) && rest.trim() === "" ? "" : open;
  return marks.startsWith("`") && rest.includes("`") ? "" : marks;
}

/** HTML that an empty line does not end. */
const LONG_HTML = /^ {0,3}<(?:[!?]|pre|script|style|textarea)/im;

/** Cuts a text where nothing that follows changes what stands before. */
function settledParts(text: string): string[] {
  if (LONG_HTML.test(text)) return [text];
  const parts: string[] = [];
  let from = 0;
  let fence = "";
  let blank = false;
  for (let at = 0; at < text.length; ) {
    const end = text.indexOf("\n", at);
    const next = end < 0 ? text.length : end + 1;
    const line = text.slice(at, next);
    if (fence === "" && blank && BEGINS.test(line)) {
      parts.push(text.slice(from, at));
      from = at;
    }
    fence = fenceAfter(fence, line);
    blank = line.trim() === "";
    at = next;
  }
  parts.push(text.slice(from));
  return parts;
}

/**
 * The blocks of a text that grows: only what may still change is parsed anew. All of it with each word took longer than
 * the words took to come, where an answer was some pages long.
 * @param settled what was parsed before of this text, by itself
 */
export function parseGrowing(
  text: string,
  settled: Map<string, readonly Block[]>,
  parse: (part: string) => readonly Block[] = parseMarkdown,
): Block[] {
  const parts = settledParts(text);
  return parts.flatMap((part, at) => {
    const blocks = settled.get(part) ?? parse(part);
    if (at < parts.length - 1) settled.set(part, blocks);
    return blocks;
  });
}

/** An answer as it is read aloud: no marks, no references. */
export function plainText(markdown: string): string {
  return parseMarkdown(markdown).map(blockText).join("\n").replace(MARKER, "");
}

function blockText(block: Block): string {
  switch (block.type) {
    case "code":
      return block.text;
    case "list":
      return block.items.map((item) => item.map(blockText).join(" ")).join(". ");
    case "quote":
      return block.children.map(blockText).join(" ");
    default:
      return block.children.map(inlineText).join("");
  }
}

function inlineText(inline: Inline): string {
  if (inline.type === "break") return " ";
  return "children" in inline ? inline.children.map(inlineText).join("") : inline.text;
}
