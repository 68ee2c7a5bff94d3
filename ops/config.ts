/**
 * From `jetclaw.config.ts` and the environment to the one configuration that the roles are composed from: read,
 * checked, secrets in place, everything that was left out filled in.
 */
import { z } from "zod";
import { type AssistantConfig, type Config, configSchema } from "#contracts/config.ts";
import { JetclawError } from "#contracts/errors.ts";
import { withEmbeddings } from "./config/embeddings.ts";
import { findConfigFile, importConfigFile } from "./config/file.ts";
import { poolFromEnvironment } from "./config/model.ts";
import { checkParts, describeInactive } from "./config/parts.ts";
import { withPresets } from "./config/presets.ts";
import { withModelSecrets } from "./config/secrets.ts";
import type { Settings } from "./settings.ts";

export interface LoadedConfig {
  readonly config: Config;
  /** The file it was read from; undefined without one. */
  readonly path: string | undefined;
  /** What whoever starts the process should read once. */
  readonly notices: readonly string[];
}

export interface LoadOptions {
  /** Only a process that calls models needs their keys; no other process has to be given them. */
  readonly callsModels: boolean;
  /**
   * Which servers are asked what they serve, where only their address is configured; all when left out. Whoever needs no
   * model should not wait for its server, nor fail with it.
   */
  readonly asks?: "embeddings" | "nothing";
}

/** Stands for a model that was not asked for. */
const UNASKED = "unasked";

const DEFAULT_ASSISTANT: AssistantConfig = {
  instructions: {
    en: "You are the assistant of a web shop. Answer from the passages you are given, briefly and politely. If they do not hold the answer, say so and name a way to reach a person.",
    nl: "Je bent de assistent van een webwinkel. Antwoord vanuit de passages die je krijgt, kort en beleefd. Staat het antwoord er niet in, zeg dat dan en noem een manier om een mens te bereiken.",
  },
  knowledge: ["shop"],
  tools: [],
  model: "auto",
};

/** @throws JetclawError `config.invalid` naming the key or the variable. */
export async function loadConfig(settings: Settings, options: LoadOptions): Promise<LoadedConfig> {
  const path = await findConfigFile(settings.configPath);
  const parsed = configSchema.safeParse(path ? await importConfigFile(path) : {}, { error: nameKnownKeys });
  if (!parsed.success)
    throw new JetclawError("config.invalid", `${path ?? "configuration"}: ${z.prettifyError(parsed.error)}`);
  checkParts(parsed.data);
  const preset = { ...parsed.data, pools: withPresets(parsed.data.pools) };
  const declared = options.callsModels ? await withModelSecrets(preset, process.env) : preset;
  const notices = [...describeInactive(declared), ...describeUnknown(settings.unknown, preset)];
  const pools = { ...declared.pools };
  if (Object.keys(pools).length === 0) {
    const { name, baseUrl } = settings.model;
    const unasked = options.asks !== undefined && name === undefined && baseUrl !== undefined;
    const { pool, notice } = await poolFromEnvironment({
      ...settings.model,
      name: unasked ? UNASKED : name,
    });
    pools.default = pool;
    if (notice) notices.push(notice);
  }
  const assistants =
    Object.keys(declared.assistants).length > 0 ? declared.assistants : { shop: DEFAULT_ASSISTANT };
  const whole = { ...declared, pools, assistants };
  if (options.asks === "nothing") return { config: whole, path, notices };
  const { config, notices: more } = await withEmbeddings(whole, settings);
  notices.push(...more);
  if (options.asks === undefined) checkModels(config);
  return { config, path, notices };
}

/** What nobody reads is said and stops no start: it may be for another version. The file may name variables of its own. */
function describeUnknown(
  unknown: Settings["unknown"],
  { pools, embeddings, qdrant }: Pick<Config, "pools" | "embeddings" | "qdrant">,
): string[] {
  const named = new Set<unknown>();
  JSON.stringify({ pools, embeddings, qdrant }, (key, value) => {
    if (key === "env") named.add(value);
    return value;
  });
  return unknown
    .filter(({ name }) => !named.has(name))
    .map(({ name, nearest }) =>
      nearest
        ? `${name} is set, and jetclaw does not read it. Is ${nearest} meant?`
        : `${name} is set, and jetclaw does not read it; ops/cli/README.md lists its variables.`,
    );
}

/** A key that is misspelt is told with those that there are. */
function nameKnownKeys(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.code !== "unrecognized_keys" || !(issue.inst instanceof z.ZodObject)) return undefined;
  const unknown = issue.keys.map((key) => `"${key}"`).join(", ");
  return `there is no key ${unknown}; there are ${Object.keys(issue.inst.shape).join(", ")}`;
}

function checkModels({ assistants, pools }: Config): void {
  const known = new Set([
    "auto",
    ...Object.entries(pools).flatMap(([pool, { models }]) => [pool, ...models.map(({ name }) => name)]),
  ]);
  for (const [name, { model }] of Object.entries(assistants))
    if (!known.has(model))
      throw new JetclawError(
        "config.invalid",
        `assistants.${name}.model is "${model}", which is none of ${[...known].join(", ")}`,
      );
  for (const [pool, { models }] of Object.entries(pools))
    for (const { name, provider, baseUrl, endpoints } of models)
      if (provider === "openai" && !baseUrl && !endpoints?.every((each) => each.baseUrl))
        throw new JetclawError(
          "config.invalid",
          `pools.${pool}: the model "${name}" has no baseUrl, such as http://127.0.0.1:8000/v1`,
        );
}
