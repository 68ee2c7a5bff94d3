/** `jetclaw cache`: what the caches hold, why a question is or is not answered from them, and ending a bad answer. */
import { Command } from "commander";
import type { CacheAdmin, CacheStatus, Explanation } from "#actors/cache/port.ts";
import { CliFailure } from "./failure.ts";
import { adminSubcommand, ask, gatewayOf } from "./gateway.ts";
import { note, print, printColumns, printJson } from "./print.ts";

interface CacheFlags {
  readonly url?: string;
  readonly key?: string;
  readonly nats?: string;
  readonly json?: boolean;
  readonly tenant: string;
}
interface ExplainFlags extends CacheFlags {
  readonly assistant?: string;
  readonly locale?: string;
  readonly tier?: string;
  readonly ongoing?: boolean;
}

export function cacheCommand(): Command {
  return new Command("cache")
    .description("cached answers: status, explain, rm")
    .addHelpText(
      "after",
      `
Examples:
  jetclaw cache status
  jetclaw cache explain "How long does delivery take?"
  jetclaw cache rm Jw3r0rJ5m1mVtRz0n2q8n0qkYc6pX5l0wz1l2b3c4d5`,
    )
    .addCommand(statusCommand())
    .addCommand(explainCommand())
    .addCommand(removeCommand());
}

function statusCommand(): Command {
  return adminSubcommand("status", "entries, hits by level and wrong checks, by host")
    .addHelpText("after", "\nExample:\n  jetclaw cache status --json")
    .action(async (flags: CacheFlags) => {
      const status = await sourceOf(flags).status();
      if (flags.json) return printJson(status);
      showStatus(status);
    });
}

function showStatus({ keys, bytes, hosts }: CacheStatus): void {
  note(
    `${keys} keys of ${Math.ceil(bytes / 1024)} KB in the store; figures of hosts are since they started.`,
  );
  if (hosts.length === 0) return note("No host with caches answers. Start one: jetclaw run conversation");
  printColumns(
    ["HOST", "ENTRIES", "SEMANTIC", "IDENTICAL HITS", "SEMANTIC HITS", "MISSES", "CHECKED", "WRONG"],
    hosts.map(({ instance, entries, semantic, served, checks: { agreed, differed } }) => [
      instance,
      entries,
      semantic,
      served.response,
      served.semantic,
      served.misses,
      agreed + differed,
      differed,
    ]),
  );
}

function explainCommand(): Command {
  return adminSubcommand("explain", "what the caches would do with a question, and why; no model is asked")
    .argument("<text>", "what a user would write")
    .option("--tenant <tenant>", "whose conversation", "demo")
    .option("--assistant <name>", "of the configuration (default: the first)")
    .option("--locale <locale>", "such as nl-BE (default: recognised from the text)")
    .option("--tier <tier>", "that the conversation has (default: as it would be routed)")
    .option("--ongoing", "something was said before it")
    .addHelpText(
      "after",
      '\nExamples:\n  jetclaw cache explain "How long does delivery take?"\n  jetclaw cache explain "And for Belgium?" --ongoing --json',
    )
    .action(async (text: string, flags: ExplainFlags) => {
      const { tenant, assistant, locale, tier, ongoing = false } = flags;
      const explanation = await sourceOf(flags).explain({ tenant, text, assistant, locale, tier, ongoing });
      if (flags.json) return printJson(explanation);
      showExplanation(explanation);
    });
}

const RESPONSE = {
  hit: "the same question was answered, and what the answer rests on has not changed",
  stale: "the same question was answered, and what the answer rests on has changed since",
  uncited: "the same question was asked, and the model cited nothing",
  none: "no answer to the same question is kept",
  unknown: "the store does not answer",
} as const;

function showExplanation({ levels, reason, off, response, semantic, ...rest }: Explanation): void {
  const { assistant, locale, tier, id, passages } = rest;
  print(`assistant ${assistant}, language ${locale}, tier ${tier}`);
  print(`passages   ${passages.map((p) => `${p.document}@${p.revision}`).join(", ") || "none"}`);
  print(`cacheable  ${cacheableText(levels, reason, off, passages.length)}`);
  print(`identical  ${RESPONSE[response.state]}`);
  print(`           ${id}`);
  if (response.reply) print(`           "${shortened(response.reply)}"`);
  if (!semantic) return print("semantic   switched off");
  const { decision, reason: why, confidence, threshold, lessons, candidates } = semantic;
  print(
    `semantic   ${decision}${why ? `, ${why}` : ""}: confidence ${confidence.toFixed(3)} of ${threshold.toFixed(3)}, from ${lessons} lessons`,
  );
  if (candidates.length === 0) return;
  print();
  printColumns(
    ["ENTRY", "COSINE", "WORDS", "CURRENT", "REFUSED", "QUESTION"],
    candidates
      .slice(0, SHOWN)
      .map(({ entry, text, cosine, lexical, refused, current }) => [
        `${entry === semantic.weighed ? "* " : "  "}${entry}`,
        cosine?.toFixed(3) ?? "",
        lexical.toFixed(3),
        current ? "yes" : "no",
        refused.join("; "),
        shortened(text),
      ]),
  );
}

const SHOWN = 8;
const shortened = (text: string): string =>
  (text.length > 60 ? `${text.slice(0, 59)}\u2026` : text).replace(/\s+/g, " ");

function cacheableText(
  levels: Explanation["levels"],
  reason: string | null,
  off: boolean,
  passages: number,
): string {
  if (off) return "no: switched off";
  if (levels === "both") return "yes, both levels";
  if (levels === "response") return `identical questions only: ${reason}`;
  return reason ? `no: ${reason}` : passages === 0 ? "no: nothing in the knowledge fits" : "no";
}

function removeCommand(): Command {
  return adminSubcommand("rm", "end one cached answer on every host; it is not kept again for an hour")
    .argument("<id>", "of the entry, as `jetclaw cache explain` shows it")
    .option("--tenant <tenant>", "whose it is", "demo")
    .addHelpText(
      "after",
      "\nExample:\n  jetclaw cache rm Jw3r0rJ5m1mVtRz0n2q8n0qkYc6pX5l0wz1l2b3c4d5 --tenant acme",
    )
    .action(async (id: string, flags: CacheFlags) => {
      if (!(await sourceOf(flags).remove(flags.tenant, id)))
        throw new CliFailure(`tenant ${flags.tenant} has no cached answer ${id}`, {
          next: 'jetclaw cache explain "<the question>" shows the ids.',
        });
      if (flags.json) printJson({ id, tenant: flags.tenant, removed: true });
      else print(`${id} is removed from every host.`);
    });
}

function sourceOf(flags: CacheFlags): CacheAdmin {
  const { nats } = flags;
  if (nats) {
    const over = async <T>(work: (cache: CacheAdmin) => Promise<T>): Promise<T> =>
      (await import("./direct.ts")).withCache(nats, work);
    return {
      status: () => over((cache) => cache.status()),
      explain: (asked) => over((cache) => cache.explain(asked)),
      remove: (tenant, id) => over((cache) => cache.remove(tenant, id)),
    };
  }
  const gateway = gatewayOf(flags);
  return {
    status: async () => (await ask(gateway, "/v1/admin/cache")).body as CacheStatus,
    explain: async (asked) =>
      (await ask(gateway, "/v1/admin/cache/explain", { method: "POST", body: asked })).body as Explanation,
    remove: async (tenant, id) =>
      (
        await ask(
          gateway,
          `/v1/admin/cache/entries/${encodeURIComponent(id)}?tenant=${encodeURIComponent(tenant)}`,
          { method: "DELETE", accept: [404] },
        )
      ).status !== 404,
  };
}
