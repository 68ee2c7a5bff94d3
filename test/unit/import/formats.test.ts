// What each format gives: title, text with its structure, language, address, tags; and what is refused, in words.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { documentOf, filesOf, itemsOf } from "#ops/import/files.ts";
import type { Item } from "#ops/import/format.ts";
import { readHtml } from "#ops/import/html.ts";
import { parseMarkdown } from "#ops/import/markdown.ts";
import { readPdf } from "#ops/import/pdf.ts";
import { decodeText } from "#ops/import/text.ts";
import { pdfOf } from "#test/harness/pdf.ts";

describe("Markdown", () => {
  test("front matter names title, locale, tags and url, in the ways that people write it", () => {
    const read = {
      title: "Returns: how?",
      text: "# Another\n\nText.",
      locale: "nl-BE",
      url: "https://shop.example/r",
      tags: ["ruilen", "terug sturen"],
    };
    const body = "# Another\n\nText.\n";
    expect(
      parseMarkdown(
        `---\ntitle: "Returns: how?"\nlang: nl-BE\nurl: https://shop.example/r\ntags: [ruilen, 'terug sturen']\ndraft: true\n---\n${body}`,
      ),
    ).toEqual(read);
    expect(
      parseMarkdown(
        `---\r\nTitle: Returns: how?\r\nlocale: nl-BE\r\npermalink: https://shop.example/r\r\ntags:\r\n  - ruilen\r\n  - "terug sturen"\r\n---\r\n\r\n${body}`,
      ),
    ).toEqual(read);
  });
  test("without it the first heading is the title, and a rule is a rule", () => {
    expect(parseMarkdown("Hello.\n\n---\n\n## Opening hours ##\n\nTen.")).toMatchObject({
      title: "Opening hours",
      text: "Hello.\n\n---\n\n## Opening hours ##\n\nTen.",
    });
    expect(parseMarkdown("---\ntitle: x")).toMatchObject({ text: "---\ntitle: x" });
    const ruled = "---\n\nOpen from ten to six.\n\n---\n\nClosed on Sundays.";
    expect(parseMarkdown(ruled).text).toBe(ruled);
  });
  test.each([
    ["'It''s free'", "It's free"],
    ['"Say \\"hi\\"" # as they do', 'Say "hi"'],
    ["Sizes # of shoes", "Sizes"],
    ["C# and F#", "C# and F#"],
    ["'t Hart's", "'t Hart's"],
  ])("front matter: %s is %s", (written, title) => {
    expect(parseMarkdown(`---\ntitle: ${written}\n---\nText`).title).toBe(title);
  });

  test("TOML between plus signs is front matter, without what stands in its tables", () => {
    const matter = 'title = "Lamps: which?"\ntags = ["lamps", "light"]\ndraft = false\n[params]\ntitle = "x"';
    expect(parseMarkdown(`+++\n${matter}\n+++\n\nAt most 42 watt.\n`)).toMatchObject({
      title: "Lamps: which?",
      tags: ["lamps", "light"],
      text: "At most 42 watt.",
    });
  });
  test("comments are not quoted to anybody; in code, or without an end, they are text", () => {
    const kept = "```html\n<!-- shown -->\n```\n\nWrite `<!-- more -->` there.\n\nOpen <!-- for ever";
    const read = parseMarkdown(`# Desks\n<!-- ask\nPeter -->\n\nOak<!-- or elm? -->.\n\n${kept}`);
    expect(read.text).toBe(`# Desks\n\n\nOak.\n\n${kept}`);
  });
  test("an underlined line is a heading, and the title; below a table, a list or in code it is none", () => {
    const rest = "| a |\n|---|\n\n- b\n---\n\n~~~\n\nc\n---\n~~~\n\nd\n\n---\n\ne";
    expect(parseMarkdown(`Bamboo\n======\n\nPlanks.\n\nCare\n----\nOil it.\n\n${rest}`)).toMatchObject({
      title: "Bamboo",
      text: `# Bamboo\n\nPlanks.\n\n## Care\nOil it.\n\n${rest}`,
    });
  });
  test("what a site generator means by a field is left out where no document can have it", async () => {
    const folder = await mkdtemp(join(tmpdir(), "jetclaw-import-"));
    try {
      const path = join(folder, "returns.md");
      const keywords = "returns, refunds, exchanges, warranty, repairs, spare parts, instructions, manuals";
      const matter = `permalink: /help/returns/\nlanguage: English\nkeywords: ${keywords}\ntitle: >-\n  Sending it back`;
      await writeFile(path, `---\n${matter}\n---\n# Returns\n\nWithin thirty days.`);
      const [file] = await filesOf([path]);
      const items: Item[] = [];
      for await (const item of file ? itemsOf(file) : []) items.push(item);
      expect(items).toMatchObject([
        {
          kind: "document",
          input: { title: "Returns", text: "# Returns\n\nWithin thirty days.", tags: keywords.split(", ") },
        },
      ]);
      expect(items[0]).not.toHaveProperty("input.url");
      expect(items[0]).not.toHaveProperty("input.locale");
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe("HTML", () => {
  const page = `<!doctype html><html lang="nl"><head><title>Retour &amp; ruilen</title>
    <link rel="canonical" href="https://shop.example/retour"><style>p {}</style></head><body><nav>Menu</nav>
    <main><h1>Retour</h1><p>Binnen <b>30</b> dagen.</p><h2>Hoe?</h2><ul><li>Meld <a href="/x">aan</a></li><li>Stuur</li></ul>
    <table><thead><tr><th>Land</th><th>Prijs</th></tr></thead><tbody><tr><td>Belgi\u00eb</td><td>\u20ac 5 | 6</td></tr></tbody></table>
    <script>alert(1)</script></main><footer>\u00a9</footer></body></html>`;
  test("keeps headings, lists and tables, and leaves out what stands on every page", () => {
    expect(readHtml(Buffer.from(page))).toEqual({
      title: "Retour & ruilen",
      locale: "nl",
      url: "https://shop.example/retour",
      text: "# Retour\n\nBinnen 30 dagen.\n\n## Hoe?\n\n- Meld aan\n- Stuur\n\n| Land | Prijs |\n| --- | --- |\n| Belgi\u00eb | \u20ac 5 \\| 6 |",
    });
  });
  test("pages of site generators: their main part by its role, headings without the sign that links to them", () => {
    const html = `<body><div role="search">Find</div><div role="navigation"><a href="/">Home</a></div><div role="main">
      <h1>Sofas<a class="headerlink" href="#sofas" title="Permanent link">\u00b6</a></h1><p>Two porters.</p>
      <h2 id="legs">Legs<a href="#legs" class="hash-link">\u200b</a></h2><p>Oak.</p><h2><a href="#feet">Feet</a></h2></div>
      <div>Shortcuts</div></body>`;
    const text = "# Sofas\n\nTwo porters.\n\n## Legs\n\nOak.\n\n## Feet";
    expect(readHtml(Buffer.from(html)).text).toBe(text);
    expect(readHtml(Buffer.from(html.replace('role="main"', ""))).text).toMatch(
      /^# Sofas[\s\S]*## Feet\n+Shortcuts$/,
    );
  });
  test.each(["main", "article"])(
    "of a page with <%s> nothing else is taken, unless that is empty",
    (name) => {
      const around = (inner: string): string =>
        `<html><body><div>Cookies?</div><${name}>${inner}</${name}><p>Shop of the year</p></body></html>`;
      expect(readHtml(Buffer.from(around("<p>Two porters.</p>"))).text).toBe("Two porters.");
      expect(readHtml(Buffer.from(around(" "))).text).toMatch(/^Cookies\?\n+Shop of the year$/);
    },
  );
  test("terms, what they mean, and what unfolds stand on lines of their own", () => {
    const html =
      "<dl><dt>Verzending</dt><dd>Gratis</dd></dl><details><summary>Hoe lang?</summary>Twee dagen.</details>";
    expect(readHtml(Buffer.from(html)).text.split(/\n+/)).toEqual([
      ...["Verzending", "Gratis", "Hoe lang?", "Twee dagen."],
    ]);
  });
  test("its address is what a browser makes of it", () => {
    const html = '<link rel="canonical" href="https://shop.example/p?id=1&amp;lang=nl"><p>A</p>';
    expect(readHtml(Buffer.from(html)).url).toBe("https://shop.example/p?id=1&lang=nl");
  });
  test("in the encoding that it declares", () => {
    const html = '<meta charset="windows-1252"><p>Caf\u00e9 \u00fcber</p>';
    expect(readHtml(Buffer.from(html, "latin1")).text).toBe("Caf\u00e9 \u00fcber");
    expect(() => readHtml(Buffer.from(html.replace("windows-1252", "utf-8"), "latin1"))).toThrow(
      /is not UTF-8/,
    );
  });
  test.each(["", "<p>", "<<<>>>", "<table><tr></table>", "<div>".repeat(5_000)])(
    "%.20s is no trouble",
    (html) => {
      expect(() => readHtml(Buffer.from(html))).not.toThrow();
    },
  );
});

describe("PDF", () => {
  test("larger lines are headings, gaps end paragraphs, hyphens of lines go", async () => {
    const pdf = pdfOf(
      [
        [
          { text: "Returns", size: 20, y: 720 },
          { text: "You can return an item within thirty days after it came, and ex-", size: 11, y: 690 },
          { text: "change it for another.", size: 11, y: 677 },
          { text: "Send it to us.", size: 11, y: 640 },
          { text: "\u2022 with the form", size: 11, y: 620 },
          { text: "\u2022 in its box, with every-", size: 11, y: 607 },
          { text: "thing that came in it", size: 11, y: 594, x: 82 },
          { text: "We pay for it.", size: 11, y: 581 },
        ],
        [{ text: "Refunds take five days.", size: 11, y: 720 }],
      ],
      "Terms",
    );
    expect(await readPdf(pdf)).toEqual({
      title: "Terms",
      text: "## Returns\n\nYou can return an item within thirty days after it came, and exchange it for another.\n\nSend it to us.\n\n- with the form\n- in its box, with everything that came in it\n\nWe pay for it. Refunds take five days.",
    });
  });
  test("numbers of pages go, and what stands above each page but for the first time; other numbers stay", async () => {
    const page = (n: number, ...texts: string[]) =>
      [`Handbook, page ${n}`, ...texts, `${n}`].map((text, at) => ({ text, size: 11, y: 720 - 13 * at }));
    const pages = [
      page(4, "Parking is free for", "12"),
      page(5, "months, and then"),
      page(6, "it costs 7 euros."),
    ];
    expect((await readPdf(pdfOf(pages))).text).toBe(
      "Handbook, page 4 Parking is free for 12 months, and then it costs 7 euros.",
    );
    expect((await readPdf(pdfOf(pages.slice(0, 2)))).text).toMatch(/12 4 Handbook, page 5 months/);
  });
  test("what is broken or empty says so", async () => {
    await expect(readPdf(Buffer.from("no pdf at all"))).rejects.toThrow(/cannot be read as PDF/);
    await expect(readPdf(pdfOf([[]]))).rejects.toThrow(/holds no text/);
  });
});

describe("text", () => {
  test("UTF-8 with a mark or without, UTF-16 with one; anything else is refused in words", () => {
    expect(decodeText(Buffer.from("\ufeffcaf\u00e9"))).toBe("caf\u00e9");
    expect(decodeText(Buffer.from("\ufeffcaf\u00e9"), "iso-8859-1")).toBe("caf\u00e9");
    expect(decodeText(Buffer.from("\ufeffcaf\u00e9", "utf16le"))).toBe("caf\u00e9");
    expect(() => decodeText(Buffer.from("caf\u00e9", "latin1"))).toThrow(/is not UTF-8; convert it/);
    expect(() => decodeText(Buffer.from("a\0b"))).toThrow(/NUL/);
  });
  test("a document's id is its path without the ending, whatever is in it", () => {
    expect(documentOf("faq/Returns & refunds.v2.md")).toBe("faq/Returns-&-refunds.v2");
    expect(documentOf("100%.md")).toBe("100%25");
    expect(documentOf("cafe\u0301.md")).toBe("caf\u00e9");
  });
});

test("a line of another system's documents has numbers for ids and null for what is not there", async () => {
  const folder = await mkdtemp(join(tmpdir(), "jetclaw-lines-"));
  const line = { document: 7, title: null, text: "What it says.", url: null, locale: null, tags: null };
  await writeFile(join(folder, "lines.jsonl"), JSON.stringify(line));
  const [file] = await filesOf([folder]);
  if (!file) throw new Error("the file is not there");
  const { value } = await itemsOf(file).next();
  expect(value).toMatchObject({ kind: "document", document: "7", input: { title: "7", text: line.text } });
  await rm(folder, { recursive: true });
});

test("tags and comments that never end are not each looked for to the end of a large file", () => {
  const many = (begun: string): string => begun.repeat(300_000);
  const page = readHtml(
    Buffer.from(`<html lang="en"><body><p>Text.</p>${many("<title ")}${many("<link rel=")}`),
  );
  expect(page).toMatchObject({ text: "Text.", locale: "en" });
  expect(parseMarkdown(`--> Text.\n${many("<!-- ")}`).text).toMatch(/^--> Text\./);
});
