/**
 * What people and bots say: `parts` on the way in, a small Markdown subset on the way out.
 * The subset is parsed once into nodes; every surface renders nodes, none renders HTML from text.
 */
import type { Nodes, PhrasingContent, RootContent } from "mdast";
import { fromMarkdown } from "mdast-util-from-markdown";
import { z } from "zod";
import { LIMITS } from "./limits.ts";

const text = z.object({ type: z.literal("text"), text: z.string().max(LIMITS.messageTextChars) });
const media = z.object({
  type: z.literal("media"),
  /** `image/png` and the like. */
  mediaType: z.string().max(128),
  /** Where the bytes are; never the bytes. */
  ref: z.string().max(2_048),
  name: z.string().max(256).optional(),
  caption: z.string().max(4_096).optional(),
});
const button = z.object({ type: z.literal("button"), id: z.string().max(256), label: z.string().max(256) });
const location = z.object({
  type: z.literal("location"),
  latitude: z.number().min(-90).max(90),
  longitude: z.number().min(-180).max(180),
  name: z.string().max(256).optional(),
});

export const partSchema = z.discriminatedUnion("type", [text, media, button, location]);
export type Part = z.infer<typeof partSchema>;
export const partsSchema = z
  .array(partSchema)
  .min(1)
  .max(LIMITS.messageParts)
  // Of more a conversation would keep nothing.
  .refine(
    (parts) => textOf(parts).length <= LIMITS.messageTextChars,
    `at most ${LIMITS.messageTextChars} characters in all parts together`,
  );

/** The text a model reads of a message: its texts, captions and labels, one a line. */
export function textOf(parts: readonly Part[]): string {
  const lines: string[] = [];
  for (const part of parts) {
    if (part.type === "text") lines.push(part.text);
    else if (part.type === "media")
      lines.push(part.caption ?? `[${part.mediaType}${part.name ? ` ${part.name}` : ""}]`);
    else if (part.type === "button") lines.push(part.label);
    else lines.push(`[location ${part.latitude},${part.longitude}${part.name ? ` ${part.name}` : ""}]`);
  }
  return lines.join("\n");
}

export type Inline =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "code"; readonly text: string }
  | { readonly type: "break" }
  | { readonly type: "strong" | "emphasis"; readonly children: readonly Inline[] }
  | { readonly type: "link"; readonly url: string; readonly children: readonly Inline[] };
export type Block =
  | { readonly type: "paragraph"; readonly children: readonly Inline[] }
  | { readonly type: "heading"; readonly level: number; readonly children: readonly Inline[] }
  | { readonly type: "code"; readonly text: string; readonly language?: string }
  | { readonly type: "quote"; readonly children: readonly Block[] }
  | { readonly type: "list"; readonly ordered: boolean; readonly items: readonly (readonly Block[])[] };

/** Parses the subset: paragraphs, headings, lists, code, quotes; strong, emphasis, code, links. The rest becomes text. */
export function parseMarkdown(markdown: string): Block[] {
  if (TOO_DEEP.test(markdown)) return plain(markdown);
  try {
    const extensions = hasTooManyMarks(markdown) ? [WITHOUT_EMPHASIS] : [];
    return fromMarkdown(markdown, { extensions }).children.flatMap((node) => blockOf(node, markdown));
  } catch (error) {
    // Nesting beyond the stack is nothing that a person wrote.
    if (error instanceof RangeError) return plain(markdown);
    throw error;
  }
}

/** A line that opens hundreds of quotes or lists: the parser's time grows with the square of their depth. */
const TOO_DEEP = /^[\t >*+\-\d.)]{200}/m;

/** Emphasis is found in a time that grows with the square of a paragraph's marks. */
const MOST_MARKS = 500;
const WITHOUT_EMPHASIS = { disable: { null: ["attention"] } };

/** Whether a paragraph, or an item of a list, has more marks than a person writes. */
function hasTooManyMarks(markdown: string): boolean {
  let marks = 0;
  let list = "";
  let isBlank = true;
  for (const line of markdown.split("\n")) {
    const [, number = "", sign = ""] = ITEM.exec(line) ?? [];
    // A number that neither begins a list nor goes on with one is part of the paragraph.
    const isItem = sign !== "" && (number === "" || number === "1" || sign === list);
    if (isItem || isBlank) {
      marks = 0;
      list = sign;
    }
    marks += line.match(/[*_]+/g)?.length ?? 0;
    if (marks > MOST_MARKS) return true;
    isBlank = line.trim() === "";
  }
  return false;
}

/** The first line of an item that has text. */
const ITEM = /^(?:(\d{1,9})(?=[.)])|(?=[-+*]))([-+*.)]) +\S/;

const plain = (text: string): Block[] => [{ type: "paragraph", children: [{ type: "text", text }] }];

const SAFE_URL = /^(https?:|mailto:|tel:)/i;

function sourceOf(node: Nodes, source: string): string {
  const from = node.position?.start.offset ?? 0;
  return source.slice(from, node.position?.end.offset ?? from);
}

function blockOf(node: RootContent, source: string): Block[] {
  switch (node.type) {
    case "paragraph":
      return [{ type: "paragraph", children: inlinesOf(node.children, source) }];
    case "heading":
      return [{ type: "heading", level: node.depth, children: inlinesOf(node.children, source) }];
    case "code":
      return [{ type: "code", text: node.value, ...(node.lang ? { language: node.lang } : {}) }];
    case "blockquote":
      return [{ type: "quote", children: node.children.flatMap((child) => blockOf(child, source)) }];
    case "list":
      return [
        {
          type: "list",
          ordered: node.ordered === true,
          items: node.children.map((item) => item.children.flatMap((child) => blockOf(child, source))),
        },
      ];
    case "thematicBreak":
    case "definition":
      return [];
    default:
      return [{ type: "paragraph", children: [{ type: "text", text: sourceOf(node, source) }] }];
  }
}

function inlinesOf(nodes: readonly PhrasingContent[], source: string): Inline[] {
  return nodes.map((node): Inline => {
    switch (node.type) {
      case "text":
        return { type: "text", text: node.value };
      case "inlineCode":
        return { type: "code", text: node.value };
      case "break":
        return { type: "break" };
      case "strong":
      case "emphasis":
        return { type: node.type, children: inlinesOf(node.children, source) };
      case "link":
        return SAFE_URL.test(node.url)
          ? { type: "link", url: node.url, children: inlinesOf(node.children, source) }
          : { type: "text", text: sourceOf(node, source) };
      default:
        return { type: "text", text: sourceOf(node, source) };
    }
  });
}

/** A document on which an answer rests; `passage` is the text that was quoted or given to the model. */
export const citationSchema = z.object({
  collection: z.string(),
  document: z.string(),
  revision: z.number().int(),
  title: z.string(),
  url: z.string().optional(),
  passage: z.string().optional(),
});
export type Citation = z.infer<typeof citationSchema>;
