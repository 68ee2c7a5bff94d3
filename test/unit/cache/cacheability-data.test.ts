// How the classifier of cacheable turns fares on real questions. Reads ../shared/data/cache and passes without it.
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { type Earlier, judge } from "#actors/cache/cacheability.ts";

const DATA = fileURLToPath(new URL("../../../../shared/data/cache/", import.meta.url));
/** Of hint3: questions about the asker's own order, parcel or goals, and for a person. */
const PERSONAL = ["ORDER_STATUS", "DELAY_IN_PARCEL", "CHAT_WITH_AGENT", "USER_GOAL_FORM", "CONSULT_START"];
const BEFORE: readonly Earlier[] = [{ messages: ["Do you sell bicycles?"], reply: "We do." }];

interface Row {
  readonly text: string;
  readonly group: string | null;
  readonly entity_type?: string | null;
}
const rows = <T = Row>(file: string): T[] =>
  readFileSync(`${DATA}${file}`, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as T);

/** Shares of the texts by what is said of them, in the middle of a conversation. */
function judged(name: string, texts: readonly string[], locale = "en"): number {
  const counts: Record<string, number> = {};
  for (const question of texts) {
    const { levels, ...rest } = judge({ question, locale, earlier: BEFORE });
    const key = levels === "both" ? "cacheable" : ((rest as { reason?: string }).reason ?? "none");
    counts[key] = (counts[key] ?? 0) + 1;
  }
  const share = (counts.cacheable ?? 0) / texts.length;
  console.log(
    `${name}: ${texts.length} texts, ${Math.round(share * 100)} % cacheable, ${JSON.stringify(counts)}`,
  );
  return share;
}

test.skipIf(!existsSync(DATA))(
  "real questions: numbers and names never pass, standalone ones mostly do",
  () => {
    const hint3 = [...rows("hint3-train.jsonl"), ...rows("hint3-test.jsonl")];
    const texts = (group: string): string[] =>
      hint3.filter((row) => row.group === group).map((row) => row.text);
    for (const group of PERSONAL) judged(`hint3 ${group}`, texts(group));
    expect(judged("hint3 ORDER_STATUS", texts("ORDER_STATUS"))).toBeLessThan(0.35);
    const bitext = rows("bitext.jsonl");
    const of = (type: string | undefined): string[] =>
      bitext.filter((row) => (row.entity_type ?? undefined) === type).map((row) => row.text);
    for (const type of ["order_id", "invoice_id"]) expect(judged(`bitext ${type}`, of(type))).toBe(0);
    expect(judged("bitext person_name", of("person_name"))).toBeLessThan(0.05);
    expect(judged("bitext without an entity", of(undefined))).toBeGreaterThan(0.8);
    const xsid = rows<{ en: string; nl: string }>("xsid-nl-en.jsonl");
    judged(
      "xsid English",
      xsid.map(({ en }) => en),
    );
    judged(
      "xsid Dutch",
      xsid.map(({ nl }) => nl),
      "nl",
    );
  },
);
