/** `jetclaw route explain`: which pool and model a text would get, and what each strategy said to it. */
import { Command, Option } from "commander";
import type { Step } from "#actors/routing/decide.ts";
import type { RouteFeatures, Signals } from "#actors/routing/port.ts";
import type { Config } from "#contracts/config.ts";
import { LEVELS, type Level } from "#contracts/level.ts";
import { CLASSES, type PriorityClass } from "#contracts/subjects.ts";
import { readSettings } from "../settings.ts";
import { usage } from "./failure.ts";
import { ask, gatewayOf, reachesGateway } from "./gateway.ts";
import { print, printColumns, printJson } from "./print.ts";

interface ExplainFlags {
  readonly assistant?: string;
  readonly channel: string;
  readonly locale?: string;
  readonly tenant: string;
  readonly tier?: string;
  readonly model?: string;
  readonly class?: PriorityClass;
  readonly level?: Level;
  readonly failing: readonly string[];
  readonly nats?: string;
  readonly url?: string;
  readonly key?: string;
  readonly json?: boolean;
}

/** Nobody who asks for an explanation waits long for a deployment that may not run. */
const LIVE_LIMIT_MS = 1_500;

export function routeCommand(): Command {
  return new Command("route")
    .description("which pool and model serve a question: explain")
    .addHelpText("after", '\nExamples:\n  jetclaw route explain "I want a refund"')
    .addCommand(explainCommand());
}

function explainCommand(): Command {
  const command = new Command("explain")
    .description("the decision for a text with its reasons, from the local configuration")
    .argument("<text>", "what a user would write")
    .option("--assistant <name>", "of the configuration (default: the first)")
    .option("--channel <channel>", "web, whatsapp, email, ...", "web")
    .option("--locale <locale>", "such as nl-BE (default: recognised from the text)")
    .option("--tenant <tenant>", "whose conversation", "demo")
    .option("--tier <tier>", "that the conversation already has; makes it an ongoing one")
    .option("--model <model>", "that served it last")
    .addOption(
      new Option("--class <class>", "of the job (default: told from channel and tier)").choices(CLASSES),
    )
    .addOption(
      new Option("--level <level>", "load level, 0 to 3 (default: the deployment's, else 0)").argParser(
        levelOf,
      ),
    )
    .option("--failing <pool/model>", "suppose that it keeps failing (repeatable)", collect, [])
    .addOption(new Option("--nats <url>", "read the level from NATS directly, without a gateway"))
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      '\nExamples:\n  jetclaw route explain "Where is my parcel?"\n  jetclaw route explain "I want my money back" --level 1\n  jetclaw route explain "And then?" --tier gold --model big --failing large/big --json',
    );
  return reachesGateway(command).action(runExplain);
}

async function runExplain(text: string, flags: ExplainFlags): Promise<void> {
  const [{ explain }, { policyOf }, { loadConfig }] = await Promise.all([
    import("#actors/routing/decide.ts"),
    import("#actors/routing/policy.ts"),
    import("../config.ts"),
  ]);
  const { config, path } = await loadConfig(readSettings(), { callsModels: false });
  const features = await featuresOf(text, flags, config);
  const [level, levelFrom] = await levelNow(flags);
  const { decision, steps } = explain(features, policyOf(config), signalsOf(level, flags.failing, config));
  if (flags.json) {
    printJson({ decision, steps, level, levelFrom, features, config: path ?? null });
    return;
  }
  const { pool, tier, model, reasons } = decision;
  print(`pool ${pool}, tier ${tier}, model ${model ?? "any of the pool"}`);
  for (const [n, reason] of reasons.entries()) print(`  ${n + 1}. ${reason}`);
  print();
  printColumns(["STRATEGY", "", "THEN", "SAYS"], steps.map(rowOf));
  print();
  print(
    `assistant ${features.assistant} (model "${features.policy}"), class ${features.cls}, locale ${features.locale}, channel ${features.channel}, load level ${level} (${levelFrom}), ${path ?? "no configuration file"}`,
  );
}

const rowOf = ({ strategy, counted, pool, model, says }: Step): string[] => [
  strategy,
  counted ? "*" : "",
  pool === undefined ? "-" : model === undefined ? pool : `${pool}/${model}`,
  says,
];

async function featuresOf(text: string, flags: ExplainFlags, config: Config): Promise<RouteFeatures> {
  const names = Object.keys(config.assistants);
  const assistant = flags.assistant ?? names[0] ?? "";
  const found = Object.hasOwn(config.assistants, assistant) ? config.assistants[assistant] : undefined;
  if (!found) throw usage(`there is no assistant "${assistant}"; there are ${names.join(", ")}`);
  const { languageOf } = await import("#actors/knowledge/language.ts");
  const cls = flags.class ?? (flags.channel === "email" ? "deferred" : flags.tier ? "ongoing" : "new");
  return {
    tenant: flags.tenant,
    assistant,
    policy: found.model,
    question: text,
    locale: flags.locale ?? languageOf(text) ?? "en",
    channel: flags.channel,
    cls,
    tier: flags.tier,
    model: flags.model,
  };
}

function signalsOf(level: Level, failing: readonly string[], config: Config): Signals {
  const known = new Set(
    Object.entries(config.pools).flatMap(([pool, { models }]) => models.map(({ name }) => `${pool}/${name}`)),
  );
  for (const each of failing)
    if (!known.has(each)) throw usage(`--failing ${each}: there is ${[...known].join(", ")}`);
  return {
    level,
    health: (pool, model) =>
      failing.includes(`${pool}/${model}`) ? { breaker: "open", firstTokenMs: 0 } : undefined,
  };
}

/** The level and where it is from. Without a deployment the decision is that of a quiet one. */
async function levelNow(flags: ExplainFlags): Promise<[Level, string]> {
  if (flags.level !== undefined) return [flags.level, "given"];
  if (flags.nats) {
    const { withLoad } = await import("./direct.ts");
    return [await withLoad(flags.nats, async (load) => (await load.status()).level), "live"];
  }
  const live = await ask(gatewayOf(flags), "/v1/admin/level", {
    signal: AbortSignal.timeout(LIVE_LIMIT_MS),
  }).catch(() => undefined);
  const level = (live?.body as { level?: unknown } | undefined)?.level;
  const known = LEVELS.find((each) => each === level);
  return known === undefined ? [0, "assumed: no deployment told its own"] : [known, "live"];
}

function levelOf(text: string): Level {
  const level = LEVELS.find((each) => String(each) === text);
  if (level === undefined) throw usage(`--level is 0, 1, 2 or 3, not "${text}"`);
  return level;
}

const collect = (value: string, before: readonly string[]): string[] => [...before, value];
