// How documents are cut: along their structure, nothing lost, in order, within bounds, with an overlap of whole sentences.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PASSAGE_WORDS, passagesOf } from "#actors/knowledge/passages.ts";
import { headingOf } from "#contracts/heading.ts";

const words = (text: string): string[] => text.split(/\s+/).filter(Boolean);
const many = (count: number, of: (n: number) => string): string =>
  Array.from({ length: count }, (_, n) => of(n)).join("");
const sentence = (n: number): string => `Sentence number ${n} has exactly seven words. `;

describe("structure", () => {
  test("one passage a section, its heading kept, the title not repeated", () => {
    expect(
      passagesOf(
        "Returns",
        "# Returns\n\nIntro.\n\n## How?\n\nLike this.\n\n```\n# not a heading\n```\n\n## Empty\n",
      ),
    ).toEqual([
      { above: [], heading: "", body: "Intro." },
      { above: [], heading: "How?", body: "Like this.\n\n```\n# not a heading\n```" },
    ]);
  });

  test("a passage knows the headings above it, also underlined ones", () => {
    const text =
      "Abroad\n======\n\n## Belgium\n\n### Costs\n\nTen euros.\n\n## Germany\n\nTwenty.\n\nNot alone\nnor a heading\n---";
    expect(passagesOf("Delivery", text)).toEqual([
      { above: ["Abroad", "Belgium"], heading: "Costs", body: "Ten euros." },
      { above: ["Abroad"], heading: "Germany", body: "Twenty.\n\nNot alone\nnor a heading\n---" },
    ]);
  });

  test("lines of any length are read once", () => {
    const long = 200_000;
    const hostile = (pad: string) => passagesOf("T", `# a${pad.repeat(long)}b\n\ntext`);
    expect(hostile(" ")[0]?.heading).toBe("a b");
    expect(hostile("#")[0]?.heading).toHaveLength(512);
    expect(passagesOf("T", `a${" \n".repeat(long)}b`)).toMatchObject([{ body: "a\n\nb" }]);
    expect(passagesOf("T", `${"b".repeat(long)}\n===\n\ntext`)[0]?.heading).toHaveLength(512);
    expect(headingOf(`# a${" ".repeat(long)}b`)).toHaveLength(512);
    expect(passagesOf("T", `|${"-".repeat(long)}x\n|${"-".repeat(long)}x`).length).toBeGreaterThan(1);
    const named = (line: string) => passagesOf("T", `${line}\n\ntext`)[0]?.heading;
    expect(["# a ##", "## a b#", "# a # #", "# #", "#a", "#  "].map(named)).toEqual([
      "a",
      "a b",
      "a #",
      "#",
      "",
      "",
    ]);
  });

  test("a list or table that fits is in one passage, whole", () => {
    const list = many(12, (n) => `- item ${n} with some words about it\n`).trim();
    const table = `| a | b |\n|---|---|\n${many(15, (n) => `| row ${n} | value |\n`)}`.trim();
    for (const block of [list, table]) {
      const passages = passagesOf("T", `${many(16, sentence)}\n\n${block}\n\n${many(16, sentence)}`);
      expect(passages.length).toBeGreaterThan(1);
      expect(passages.filter(({ body }) => body.includes(block))).toHaveLength(1);
    }
  });

  test("each piece of a long table begins with its head", () => {
    const rows = Array.from({ length: 120 }, (_, n) => `| row ${n} | value ${n} |`);
    const passages = passagesOf("T", `| name | price |\n|---|---|\n${rows.join("\n")}`);
    expect(passages.length).toBeGreaterThan(2);
    for (const { body } of passages) expect(body).toMatch(/^\| name \| price \|\n\|---\|---\|\n\| row/);
    expect(passages.flatMap(({ body }) => body.split("\n").slice(2))).toEqual(rows);
  });

  test("pieces of one section overlap by whole sentences, at most thirty words", () => {
    const passages = passagesOf("T", `## H\n\n${many(80, sentence)}`);
    for (const [n, { body, heading }] of passages.entries()) {
      expect(heading).toBe("H");
      const before = passages[n - 1]?.body;
      if (before === undefined) continue;
      const first = /^Sentence number (\d+)/.exec(body)?.[1];
      const repeated = before.slice(before.indexOf(`Sentence number ${first} `));
      expect(body.startsWith(repeated)).toBe(true);
      expect(words(repeated).length).toBe(28);
    }
  });

  test("text without spaces is cut at its sentences", () => {
    const passages = passagesOf("T", "\u8fd9\u662f\u4e00\u4e2a\u53e5\u5b50\u3002".repeat(2_000));
    expect(passages.length).toBeGreaterThan(3);
    for (const { body } of passages) expect(body.endsWith("\u3002")).toBe(true);
  });

  test("nothing is lost of headings alone", () => {
    expect(passagesOf("T", "# Only\n\n## Headings")).toHaveLength(1);
  });
});

describe("laws", () => {
  const paragraph = fc.nat({ max: 40 }).map((count) => many(count + 1, sentence).trim());
  const run = fc.nat({ max: 500 }).map((count) => many(count + 1, (n) => `w${n} `).trim());
  const list = fc.nat({ max: 60 }).map((count) => many(count + 1, (n) => `- item ${n} of it\n`).trim());
  const table = fc
    .nat({ max: 90 })
    .map((count) => `| a | b |\n|---|---|\n${many(count + 1, (n) => `| c${n} | d${n} |\n`)}`.trim());
  const code = fc.nat({ max: 90 }).map((count) => `\`\`\`\n${many(count, (n) => `x = ${n}\n\n`)}\n\`\`\``);
  const heading = fc.constantFrom("## One", "### Two", "# Three");
  const noise = fc.string({ unit: "grapheme", maxLength: 200 });
  const document = fc
    .array(fc.oneof(paragraph, run, list, table, code, heading, noise), { maxLength: 6 })
    .map((blocks) => blocks.join("\n\n"));

  test("no word is lost, the order stays, no passage is above the bound", () => {
    const law = fc.property(document, (text) => {
      const passages = passagesOf("T", text);
      let at = 0;
      const source = text.replace(/\r\n?/g, "\n");
      for (const { body } of passages) {
        expect(words(body).length).toBeLessThanOrEqual(PASSAGE_WORDS.most);
        // The head of a table that goes on is repeated in front of the rows.
        const own = source.includes(body) ? body : body.split("\n").slice(2).join("\n");
        const found = source.indexOf(own, Math.max(0, at - 400));
        expect(found, body).toBeGreaterThanOrEqual(0);
        at = Math.max(at, found);
      }
      const kept = passages.map(({ above, heading: own, body }) => [...above, own, body].join(" ")).join(" ");
      const left = new Set(words(kept));
      // A heading without a text below it is about nothing.
      const lost = words(source).filter((word) => !left.has(word) && !/^([#=-]+|One|Two|Three)$/.test(word));
      expect(lost).toEqual([]);
    });
    fc.assert(law, { numRuns: 40 });
  });
});

test("code in backticks on a line of its own opens no block that headings would be lost in", () => {
  const text = "```npm i shop```\n\n## Returns\n\nWithin thirty days.\n\n## Delivery\n\nIn three days.";
  expect(passagesOf("Shop", text).map(({ heading }) => heading)).toEqual(["", "Returns", "Delivery"]);
  const fenced = "````sh\n# install\nnpm i\n````\n\n## Returns\n\nWithin thirty days.";
  expect(passagesOf("Shop", fenced).map(({ heading }) => heading)).toEqual(["", "Returns"]);
});
