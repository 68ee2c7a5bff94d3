/** Markdown with or without front matter: lines of `key: value` or, between `+++`, `key = value`; lists as `[a, b]` or as lines of `- a`. */
import { headingOf } from "#contracts/heading.ts";
import type { Read } from "./format.ts";
import { decodeText } from "./text.ts";

const FRONT_MATTER = /^---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|$)/s;
/** TOML, as Hugo has it. What belongs to a table, from its first `[name]` on, is not of the document. */
const TOML_MATTER = /^\+\+\+[ \t]*\n(.*?)\n\+\+\+[ \t]*(?:\n|$)/s;

export function readMarkdown(bytes: Uint8Array): Read {
  return parseMarkdown(decodeText(bytes));
}

/** Title: of the front matter, else the first heading. Fields that mean nothing to a document are left out. */
export function parseMarkdown(source: string): Read {
  const text = source.replace(/\r\n?/g, "\n");
  const found = FRONT_MATTER.exec(text);
  const match = found && isFrontMatter(found[1] ?? "") ? found : TOML_MATTER.exec(text);
  const fields = match ? fieldsOf((match[1] ?? "").split(/^\[/m)[0] ?? "") : new Map<string, string[]>();
  const body = outsideOfCode(match ? text.slice(match[0].length) : text, (prose) =>
    underlined(withoutComments(prose)),
  );
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
    const [, key, value = ""] = /^([A-Za-z][\w-]*)\s*[:=]\s*(.*?)\s*$/.exec(line) ?? [];
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

/** Without its quotes, or without a comment behind it. */
function unquoted(value: string): string {
  const double = /^\s*"((?:[^"\\]|\\.)*)"\s*(?:#.*)?$/.exec(value)?.[1];
  if (double !== undefined) return double.replace(/\\(["\\])/g, "$1");
  const single = /^\s*'((?:[^']|'')*)'\s*(?:#.*)?$/.exec(value)?.[1];
  return single?.replaceAll("''", "'") ?? value.replace(/\s#.*$/, "").trim();
}

/** What stands between blocks of code, each piece as `change` makes it. */
function outsideOfCode(text: string, change: (prose: string) => string): string {
  const pieces: string[] = [];
  let prose: string[] = [];
  let fence = "";
  const end = (): void => {
    if (prose.length > 0) pieces.push(change(prose.join("\n")));
    prose = [];
  };
  for (const line of text.split("\n")) {
    const marks = /^ {0,3}(`{3,}|~{3,})/.exec(line)?.[1];
    if (fence === "" && marks === undefined) {
      prose.push(line);
      continue;
    }
    end();
    pieces.push(line);
    if (fence === "") fence = marks ?? "";
    else if (marks?.startsWith(fence) && line.trim() === marks) fence = "";
  }
  end();
  return pieces.join("\n");
}

/** Comments are notes to authors, and would be quoted to customers. One without an end is text, as is one in `code`. */
function withoutComments(prose: string): string {
  // Behind the last end each beginning would be followed to the end of the text.
  const last = prose.lastIndexOf("-->") + "-->".length;
  if (last < "-->".length) return prose;
  const cleaned = prose.slice(0, last).replace(/<!--[\s\S]*?-->/g, (comment, at: number) => {
    const before = prose.slice(prose.lastIndexOf("\n", at) + 1, at);
    return before.split("`").length % 2 === 0 ? comment : "";
  });
  return cleaned + prose.slice(last);
}

/** Headings that are underlined, as those with marks: passages are cut at these alone. */
const underlined = (prose: string): string =>
  prose.replace(
    /(^|\n[ \t]*\n)([^\s#>|<*+-][^\n|]*)\n(={2,}|-{2,})[ \t]*(?=\n|$)/g,
    (_, before: string, name: string, marks: string) =>
      `${before}${marks.startsWith("=") ? "#" : "##"} ${name}`,
  );
