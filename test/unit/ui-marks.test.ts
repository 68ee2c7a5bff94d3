import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Block, parseMarkdown } from "#contracts/content.ts";
import { closeOpenMarks, parseGrowing, plainText } from "#ops/ui/marks.ts";

describe("text that still grows", () => {
  test.each([
    ["Takes **1 to 2", "Takes **1 to 2**"],
    ["Takes **", "Takes"],
    ["Takes **1 day*", "Takes **1 day**"],
    ["Takes **1 day**", "Takes **1 day**"],
    ["In one day [1", "In one day"],
    ["In one day [1]", "In one day [1]"],
    ["See [the list](https://shop.exa", "See"],
    ["One **day**\n\nTwo **da", "One **day**\n\nTwo **da**"],
    ["```\na ** b [", "```\na ** b ["],
  ])("%j is shown as %j", (text, shown) => {
    expect(closeOpenMarks(text)).toBe(shown);
  });

  test("no cut of a marked sentence shows a star or a bracket", () => {
    const whole = "Takes **1 to 2 days** [1], see [the list](https://shop.example) and **more** [2].";
    fc.assert(
      fc.property(fc.nat(whole.length), (length) => {
        const shown = plainText(closeOpenMarks(whole.slice(0, length)));
        expect(shown).not.toMatch(/[*[\]]/);
      }),
    );
  });

  test("whatever is written, it parses", () => {
    fc.assert(fc.property(fc.string(), (text) => parseMarkdown(closeOpenMarks(text)).length >= 0));
  });
});

test("what is read aloud has no marks and no references", () => {
  expect(
    plainText("# Delivery\n\nTakes **1 day** [1].\n\n- by `post`\n- by [van](https://a.example) [1, 2]"),
  ).toBe("Delivery\nTakes 1 day.\nby post. by van");
});

describe("an answer that grows", () => {
  const pieces = [
    ...[
      "Plain text with **strong** and [1].",
      "Two\nlines.",
      "## Heading",
      "**Strong** begins it.",
      "Under\n---",
    ],
    ...[
      "- one\n- two",
      "- one\n\n  more of one\n\n- two",
      "1. first\n\n2. second",
      "> said\n> on",
      "    code",
    ],
    ...[
      "```js\nconst a = 1;\n\nText in code\n```",
      "~~~\n```\n\nStill code\n~~~",
      "```\nopen",
      "<b>no</b>",
      "```one line```",
    ],
    ...["<!-- a\n\nText -->", "\u00c9\u00e9n woord", "* star", "---", "[a](https://x.example)", "  indented"],
  ];
  test("is shown as it would be if it were parsed whole", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...pieces), { minLength: 1, maxLength: 8 }), (all) => {
        const settled = new Map<string, readonly Block[]>();
        for (let n = 1; n <= all.length; n++) {
          const text = all.slice(0, n).join("\n\n");
          expect(parseGrowing(text, settled)).toEqual(parseMarkdown(text));
        }
      }),
      { numRuns: 200 },
    );
  });

  test("is parsed as far as it may still change, and not from its beginning with each word", () => {
    const text = `${"Delivery takes days. [1]\n\n- one\n- two\n\n".repeat(400)}`;
    const settled = new Map<string, readonly Block[]>();
    let parsed = 0;
    for (let n = 50; n < text.length; n += 50)
      parseGrowing(text.slice(0, n), settled, (part) => {
        parsed += part.length;
        return [];
      });
    expect(parsed).toBeLessThan(5 * text.length);
  });
});
