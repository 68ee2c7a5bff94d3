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
