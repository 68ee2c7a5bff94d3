// Keywords: whole words in any case and script, and no text that takes long.
import { describe, expect, test } from "vitest";
import { Keywords, rowOf } from "#actors/routing/keywords.ts";

const finds = (keyword: string, text: string): boolean =>
  new Keywords([keyword]).find(rowOf(text)) !== undefined;

describe("keywords", () => {
  test.each([
    ["refund", "I want a REFUND!"],
    ["Court Case", "it is a court\n case, now"],
    ["e-mail", "by E-Mail please"],
    ["straße", "in der STRASSE"],
    ["ΟΔΟΣ", "η οδος μου"],
    ["возврат", "Мне нужен ВОЗВРАТ денег"],
    ["iptal", "İPTAL etmek istiyorum"],
    ["cafe\u0301", "the CAFÉ is closed"],
    ["退款", "我想要退款。"],
    ["คืนเงิน", "ขอคืนเงินครับ"],
    ["返品", "この商品を返品したい"],
    ["استرداد", "أريد استرداد المال"],
    ["वापसी", "मुझे वापसी चाहिए"],
    ["😡", "still waiting😡😡"],
    ["€", "it cost 20€"],
    ["ｒｅｆｕｎｄ", "a refund"],
  ])("%s is found in: %s", (keyword, text) => expect(finds(keyword, text)).toBe(true));

  test.each([
    ["refund", "refunded twice"],
    ["fund", "a refund"],
    ["court case", "case court"],
    ["art", "a part of it, Artur"],
    ["!!!", "what!!!"],
    [" ", "a b"],
    [".*", "anything"],
    ["(a+)+$", "aaaa"],
    ["वापस", "मुझे वापसी चाहिए"],
  ])("%s is not found in: %s", (keyword, text) => expect(finds(keyword, text)).toBe(false));

  test("names the first configured keyword as it was written", () => {
    expect(new Keywords(["Court case", "Lawyer"]).find(rowOf("lawyer, court case"))).toBe("Court case");
    expect(new Keywords([]).find(rowOf("anything"))).toBeUndefined();
  });

  test.each([
    `${"a".repeat(1_000_000)}!`,
    "a ".repeat(500_000),
    "退".repeat(500_000),
    "\u0301".repeat(500_000),
    "\ufdfa".repeat(500_000),
    "😡".repeat(500_000),
    `${"İ".repeat(500_000)}!`,
    "\ud800".repeat(500_000),
  ])("a hostile text of a million characters takes no time", (text) => {
    const keywords = new Keywords(Array.from({ length: 64 }, (_, n) => `a a a word${n}`));
    keywords.find(rowOf("warm"));
    const times = [1, 2, 3].map(() => {
      const from = performance.now();
      keywords.find(rowOf(text));
      return performance.now() - from;
    });
    // Milliseconds; what looks again at every place takes hours.
    expect(Math.min(...times)).toBeLessThan(20_000);
  });
});
