/** The configured rules, from the first to the last: the first one that holds decides. */
import type { RoutingRule } from "#contracts/config.ts";
import { rowOf } from "../keywords.ts";
import type { Rule } from "../policy.ts";
import type { RouteFeatures } from "../port.ts";
import { mayServe, type Situation, type Verdict } from "../situation.ts";

export function rules(situation: Situation): Verdict {
  const { features, policy, choice } = situation;
  if (policy.rules.length === 0) return { says: "no rules are configured" };
  if (choice) return { says: `the choice of ${choice.pool.name} stands, whatever the rules say` };
  // Cut into words once for all rules, and not at all where no rule has keywords.
  let row: string | undefined;
  const rowOfQuestion = (): string => {
    row ??= rowOf(features.question);
    return row;
  };
  for (const rule of policy.rules) {
    const why = holds(rule, features, rowOfQuestion);
    if (why === undefined) continue;
    const because = `rule ${rule.label}${why.length > 0 ? ` (${why.join(", ")})` : ""}`;
    if (mayServe(situation, rule.pool))
      return { says: `${because} names pool ${rule.pool.name}`, choice: { pool: rule.pool } };
    return {
      says: `${because} names pool ${rule.pool.name}, which is of another tier than the conversation`,
    };
  }
  return { says: `none of ${policy.rules.length} rules holds` };
}

/** What made the rule hold, a word each; undefined where it does not. A list that names nothing is never met. */
function holds({ when, keywords }: Rule, features: RouteFeatures, row: () => string): string[] | undefined {
  const why: string[] = [];
  const lists = listsOf(when, features);
  for (const { name, list, met } of lists) {
    if (!list) continue;
    const found = list.find(met);
    if (found === undefined) return undefined;
    why.push(`${name} ${found}`);
  }
  const chars = features.question.length;
  if (when.minChars !== undefined) {
    if (chars < when.minChars) return undefined;
    why.push(`at least ${when.minChars} characters`);
  }
  if (when.maxChars !== undefined) {
    if (chars > when.maxChars) return undefined;
    why.push(`at most ${when.maxChars} characters`);
  }
  // The dearest test comes last.
  if (keywords) {
    const found = keywords.find(row());
    if (found === undefined) return undefined;
    why.push(`keyword "${found}"`);
  }
  return why;
}

interface ListTest {
  readonly name: string;
  readonly list: readonly string[] | undefined;
  readonly met: (value: string) => boolean;
}

function listsOf(when: RoutingRule["when"], features: RouteFeatures): readonly ListTest[] {
  const locale = features.locale.toLowerCase().replaceAll("_", "-");
  return [
    { name: "class", list: when.classes, met: (cls) => cls === features.cls },
    { name: "tenant", list: when.tenants, met: (tenant) => tenant === features.tenant },
    { name: "assistant", list: when.assistants, met: (name) => name === features.assistant },
    { name: "channel", list: when.channels, met: (channel) => channel === features.channel },
    { name: "language", list: when.languages, met: (language) => speaks(locale, language) },
  ];
}

/** `nl` is met by `nl-BE`; `nl-BE` only by itself and what is narrower. */
function speaks(locale: string, language: string): boolean {
  const wanted = language.toLowerCase().replaceAll("_", "-");
  return locale === wanted || locale.startsWith(`${wanted}-`);
}
