// The Markdown subset: whatever a model or a person writes, only known nodes come out and no link runs a script.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Block, type Inline, parseMarkdown, partsSchema, textOf } from "#contracts/content.ts";

function inlines(blocks: readonly Block[]): Inline[] {
  const below = (nodes: readonly Inline[]): Inline[] =>
    nodes.flatMap((node) => ("children" in node ? [node, ...below(node.children)] : [node]));
  return blocks.flatMap((block) => {
    if (block.type === "quote") return inlines(block.children);
    if (block.type === "list") return inlines(block.items.flat());
    return "children" in block ? below(block.children) : [];
  });
}
const textIn = (markdown: string): string =>
  inlines(parseMarkdown(markdown))
    .map((node) => ("text" in node ? node.text : ""))
    .join("");

describe("links", () => {
  test.each(["https://a.example/x", "http://a.example", "mailto:a@b.example", "tel:+3212345"])(
    "%s is one",
    (url) => {
      expect(inlines(parseMarkdown(`[here](${url})`))[0]).toMatchObject({ type: "link", url });
    },
  );

  test.each([
    "[here](javascript:alert(1))",
    "[here](JaVaScRiPt:alert%281%29)",
    "[here](&#106;avascript:alert)",
    "[here](data:text/html,x)",
    "[here](vbscript:x)",
    "[here](file:///etc/passwd)",
    "[here](//evil.example)",
    "<javascript:alert(1)>",
    "[here](\u0001javascript:x)",
  ])("%j is only text", (markdown) => {
    const nodes = inlines(parseMarkdown(markdown));
    expect(nodes.every((node) => node.type === "text")).toBe(true);
    expect(nodes.length).toBeGreaterThan(0);
  });

  test("no text at all gives a link with another scheme than the four", () => {
    const piece = fc.constantFrom(
      "[a](",
      "javascript:",
      "https://x",
      "<",
      ">",
      ")",
      "data:",
      "![",
      "](",
      "&#106;",
      "\n",
      "**",
      "`",
      "[1]: ",
    );
    fc.assert(
      fc.property(fc.array(fc.oneof(piece, fc.string({ maxLength: 4 })), { maxLength: 20 }), (pieces) => {
        for (const node of inlines(parseMarkdown(pieces.join(""))))
          if (node.type === "link") expect(node.url).toMatch(/^(https?:|mailto:|tel:)/i);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("everything else", () => {
  test.each([
    "<script>alert(1)</script>",
    "a <img src=x onerror=alert(1)> b",
    "![pixel](https://evil.example/p.png)",
  ])("%s stays the text it is", (markdown) => {
    expect(textIn(markdown)).toBe(markdown);
    expect(inlines(parseMarkdown(markdown)).every((node) => node.type === "text")).toBe(true);
  });

  test("the subset is read: headings, lists, quotes, code, strong, emphasis", () => {
    const blocks = parseMarkdown("# A\n\n- x **y**\n- *z*\n\n1. one\n\n> q `c`\n\n```ts\nlet a;\n```\n");
    expect(blocks.map((block) => block.type)).toEqual(["heading", "list", "list", "quote", "code"]);
    expect(blocks[4]).toEqual({ type: "code", text: "let a;", language: "ts" });
    expect(blocks[2]).toMatchObject({ ordered: true });
  });

  test.each(["*a_", "_a*", "a*"])(
    "%s without end is text, in no time that grows with its square",
    (marks) => {
      const text = marks.repeat(14_000);
      // Where each mark is looked for from each other one, this takes longer than a test may.
      expect(parseMarkdown(`${text}\n\n\`b\` c`)).toEqual([
        { type: "paragraph", children: [{ type: "text", text }] },
        {
          type: "paragraph",
          children: [
            { type: "code", text: "b" },
            { type: "text", text: " c" },
          ],
        },
      ]);
    },
  );

  test.each(["- **a**\n", "1. **a**\n", "**a** b\n\n"])("%j in any number keeps its emphasis", (line) => {
    expect(JSON.stringify(parseMarkdown(line.repeat(600))).match(/"strong"/g)).toHaveLength(600);
    // Lines of one paragraph are counted together.
    expect(JSON.stringify(parseMarkdown("a\n2. **b**\n".repeat(600)))).not.toContain('"strong"');
  });

  test("random text never throws", () => {
    const mark = fc.constantFrom(
      "*",
      "_",
      "`",
      ">",
      "#",
      "-",
      "[",
      "]",
      "(",
      ")",
      "<",
      "\n",
      "  ",
      "1.",
      "!",
      "\\",
      "\t",
    );
    fc.assert(
      fc.property(
        fc.array(fc.oneof(mark, fc.string({ unit: "binary", maxLength: 3 })), { maxLength: 60 }),
        (pieces) => {
          expect(Array.isArray(parseMarkdown(pieces.join("")))).toBe(true);
        },
      ),
      { numRuns: 300 },
    );
  });

  test.each([
    ["quotes", ">".repeat(30_000)],
    ["spaced quotes", "> ".repeat(15_000)],
    ["lists", Array.from({ length: 500 }, (_, n) => `${"  ".repeat(n)}- a`).join("\n")],
    ["strong", `${"**a ".repeat(500)}${" b**".repeat(500)}`],
    ["brackets", "[".repeat(10_000)],
  ])("%s nested without end are answered in time, and nothing is lost", (_, markdown) => {
    const startedAt = performance.now();
    const blocks = parseMarkdown(markdown);
    expect(blocks.length).toBeGreaterThan(0);
    expect(performance.now() - startedAt).toBeLessThan(20_000);
  });
});

describe("parts", () => {
  test("the text of a message is one line a part, and media without a caption is named", () => {
    expect(
      textOf([
        { type: "text", text: "Where is this?" },
        { type: "media", mediaType: "image/png", ref: "wa:1", name: "shoe.png" },
        { type: "button", id: "yes", label: "Yes" },
        { type: "location", latitude: 50.8, longitude: 4.3 },
      ]),
    ).toBe("Where is this?\n[image/png shoe.png]\nYes\n[location 50.8,4.3]");
  });

  test.each([
    ["none", []],
    ["too many", Array.from({ length: 33 }, () => ({ type: "text", text: "a" }))],
    ["an unknown type", [{ type: "html", text: "a" }]],
    ["a place off the globe", [{ type: "location", latitude: 91, longitude: 0 }]],
    ["a text beyond the limit", [{ type: "text", text: "a".repeat(32_001) }]],
  ])("%s is refused", (_, parts) => {
    expect(partsSchema.safeParse(parts).success).toBe(false);
  });
});
