/** HTML to the Markdown that passages are cut from: headings, lists and tables stay what they are. */
import { compile, type DomNode, type FormatCallback, type FormatOptions } from "html-to-text";
import type { Read } from "./format.ts";
import { decodeText } from "./text.ts";

/** What stands on every page of a site says nothing about this one. */
const SKIPPED = [
  ...["nav", "footer", "aside", "script", "style", "noscript", "template", "svg", "button", "img"],
  ...["[role=navigation]", "[role=search]", "[role=contentinfo]"],
];
/** Stand on lines of their own, which html-to-text does not know: their words would be one with those before. */
const BLOCKS = [
  ...[
    "address",
    "caption",
    "center",
    "dd",
    "details",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "legend",
  ],
  ...["option", "summary"],
];
const HEADINGS = ["h1", "h2", "h3", "h4", "h5", "h6"];

const heading: FormatCallback = (element, walk, builder, options) => {
  const level = Number((element.name ?? "h2").slice(1));
  builder.openBlock({ leadingLineBreaks: 2 });
  builder.addInline(`${"#".repeat(level)} `);
  walk(
    (element.children ?? []).filter((child) => !isOwnLink(child)),
    builder,
  );
  builder.closeBlock({ trailingLineBreaks: (options as FormatOptions).trailingLineBreaks ?? 2 });
};

/** The sign beside a heading that links to it, such as a pilcrow. */
const isOwnLink = (node: DomNode): boolean =>
  node.name === "a" && node.attribs?.href?.startsWith("#") === true && !/[\p{L}\p{N}]/u.test(textOf(node));

const textOf = ({ data = "", children = [] }: DomNode): string => data + children.map(textOf).join("");

const table: FormatCallback = (element, walk, builder) => {
  builder.openTable();
  for (const row of find(element, ["tr"])) {
    builder.openTableRow();
    for (const cell of find(row, ["td", "th"])) {
      builder.openTableCell();
      walk(cell.children ?? [], builder);
      builder.closeTableCell();
    }
    builder.closeTableRow();
  }
  builder.closeTable({ tableToString: pipes, leadingLineBreaks: 2, trailingLineBreaks: 2 });
};

/** Elements of these names, none inside another. */
function find(element: DomNode, names: readonly string[]): DomNode[] {
  return (element.children ?? []).flatMap((child) =>
    names.includes(child.name ?? "") ? [child] : child.name === "table" ? [] : find(child, names),
  );
}

function pipes(rows: readonly (readonly { readonly text: string }[])[]): string {
  const lines = rows
    .filter((row) => row.length > 0)
    .map(
      (row) => `| ${row.map(({ text }) => text.replace(/\s+/g, " ").replaceAll("|", "\\|")).join(" | ")} |`,
    );
  const [head = "", ...rest] = lines;
  const dashes = `|${" --- |".repeat(rows.find((row) => row.length > 0)?.length ?? 0)}`;
  return rest.length === 0 ? head : [head, dashes, ...rest].join("\n");
}

/** Takes the outermost elements that a selector names; without one nothing, or where that is asked for, everything. */
const converter = (selectors: string[], returnDomByDefault = false): ReturnType<typeof compile> =>
  compile({
    wordwrap: false,
    baseElements: { selectors, returnDomByDefault },
    limits: { maxDepth: 400 },
    formatters: { markdownHeading: heading, markdownTable: table },
    selectors: [
      ...SKIPPED.map((selector) => ({ selector, format: "skip" })),
      ...BLOCKS.map((selector) => ({ selector, format: "block" })),
      ...HEADINGS.map((selector) => ({ selector, format: "markdownHeading" })),
      { selector: "a", options: { ignoreHref: true } },
      { selector: "ul", options: { itemPrefix: "- " } },
      { selector: "table", format: "markdownTable" },
    ],
  });

/** The page's own part, where it is marked and holds something. */
const PARTS = [converter(["main", "[role=main]"]), converter(["article"])];
const whole = converter(["body"], true);

function textOfPage(html: string): string {
  for (const part of PARTS) {
    const text = part(html).trim();
    if (text !== "") return text;
  }
  return whole(html).trim();
}

/** A tag ends before the next one begins: of a page of unclosed ones each would else be looked for to the end. */
const TITLE = /<title[^<>]*>([^<]*)<\/title>/i;
const HTML = /<html\b[^<>]*>/i;
const LINKS = /<link\b[^<>]*>/gi;
const CANONICAL = /\brel=["']?canonical\b/i;

/** Title, language and address as the page names them. */
export function readHtml(bytes: Uint8Array): Read {
  const html = decodeText(bytes, charsetOf(bytes));
  const title = plain(TITLE.exec(html)?.[1] ?? "");
  const text = textOfPage(html);
  const canonical = html.match(LINKS)?.find((link) => CANONICAL.test(link));
  return {
    title: title === "" ? undefined : title,
    text,
    locale: attribute(HTML.exec(html)?.[0], "lang"),
    url: plain(attribute(canonical, "href") ?? "") || undefined,
  };
}

/** The encoding that the page declares in its first kilobyte, as browsers look for it. */
function charsetOf(bytes: Uint8Array): string | undefined {
  const head = Buffer.from(bytes.subarray(0, 1_024)).toString("latin1");
  const charset = /<meta\b[^>]*\bcharset\s*=\s*["']?([\w-]+)/i.exec(head)?.[1]?.toLowerCase();
  return charset === "utf8" ? "utf-8" : charset;
}

function attribute(tag: string | undefined, name: string): string | undefined {
  const match = new RegExp(`\\b${name}\\s*=\\s*(?:"([^"]*)"|'([^']*)'|([^\\s>]+))`, "i").exec(tag ?? "");
  return (match?.[1] ?? match?.[2] ?? match?.[3])?.trim() || undefined;
}

const plain = (html: string): string => whole(html).replace(/\s+/g, " ").trim();
