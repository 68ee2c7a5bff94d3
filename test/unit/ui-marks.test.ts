import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseMarkdown } from "#contracts/content.ts";
import { closeOpenMarks, plainText } from "#ops/ui/marks.ts";

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
