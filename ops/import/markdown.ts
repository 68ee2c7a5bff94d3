/** Markdown with or without front matter: lines of `key: value`, lists as `[a, b]` or as lines of `- a`. */
import { headingOf } from "#contracts/heading.ts";
import type { Read } from "./format.ts";
import { decodeText } from "./text.ts";

const FRONT_MATTER = /^---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|$)/s;

export function readMarkdown(bytes: Uint8Array): Read {
  return parseMarkdown(decodeText(bytes));
}

/** Title: of the front matter, else the first heading. Fields that mean nothing to a document are left out. */
export function parseMarkdown(source: string): Read {
  const text = source.replace(/\r\n?/g, "\n");
  const found = FRONT_MATTER.exec(text);
  const match = found && isFrontMatter(found[1] ?? "") ? found : undefined;
  const fields = match ? fieldsOf(match[1] ?? "") : new Map<string, string[]>();
  const body = match ? text.slice(match[0].length) : text;
  const one = (...names: string[]): string | undefined =>
    names.map((name) => fields.get(name)?.[0]).find((value) => value !== undefined && value !== "");
  const named = fields.get("tags") ?? fields.get("keywords") ?? [];
  // A single value is a list of its own: `keywords: returns, refunds`.
  const tags = (named.length === 1 ? named.flatMap((value) => value.split(",").map(unquoted)) : named).filter(
    (tag) => tag !== "",
  );
  return {
    title: one("title") ?? headingOf(body),
    text: body.trim(),
    locale: one("locale", "lang", "language"),
    url: one("url", "link", "permalink"),
    ...(tags.length > 0 ? { tags } : {}),
  };
}

/** Between two rules prose may stand as well: it is text, and not to be lost. */
const isFrontMatter = (source: string): boolean =>
  /^["']?[\w.-]+["']?\s*:/m.test(source) &&
  source.split("\n").every((line) => /^(?:\s|#|-\s|["']?[\w.-]+["']?\s*:|[\]}]|$)/.test(line));

/** A small part of YAML, all that front matter of documents uses in practice. */
function fieldsOf(source: string): Map<string, string[]> {
  const fields = new Map<string, string[]>();
  let open: string[] = [];
  for (const line of source.split("\n")) {
    const item = /^\s*-\s+(.*)$/.exec(line)?.[1];
    const [, key, value = ""] = /^([A-Za-z][\w-]*)\s*:\s*(.*?)\s*$/.exec(line) ?? [];
    if (item !== undefined) open.push(unquoted(item));
    else if (key !== undefined) {
      open = valuesOf(value);
      fields.set(key.toLowerCase(), open);
    }
  }
  return fields;
}

function valuesOf(value: string): string[] {
  const list = /^\[(.*)\]$/.exec(value)?.[1];
  if (list !== undefined) return list.split(",").map(unquoted);
  // A block follows, of which we take nothing.
  return value === "" || /^[>|][+-]?\d?$/.test(value) ? [] : [unquoted(value)];
}

const unquoted = (value: string): string => /^\s*(["'])(.*)\1\s*$/.exec(value)?.[2] ?? value.trim();
