/** The assistants of a configuration, each with the version that its cached answers carry. */
import { createHash } from "node:crypto";
import type { AssistantConfig, Config } from "#contracts/config.ts";

export interface Assistant extends AssistantConfig {
  readonly name: string;
  /** Changes with anything that changes answers. */
  readonly version: string;
}

/** So many names that nobody has are told of. */
const MOST_MISSED = 50;

export class Assistants {
  readonly #byName: ReadonlyMap<string, Assistant>;
  readonly #first: Assistant;
  readonly #missed = new Set<string>();

  constructor({
    assistants,
    pools = {},
    embeddings,
  }: Pick<Config, "assistants"> & Partial<Pick<Config, "pools" | "embeddings">>) {
    // Another model gives other answers, also where it serves under the same tier.
    const models = Object.entries(pools).map(([name, pool]) => [
      name,
      pool.tier,
      pool.models.map((m) => [m.provider, m.name]),
    ]);
    // And vectors of two models are never compared.
    const made = [models, embeddings?.model, embeddings?.dimensions];
    const all = Object.entries(assistants).map(([name, assistant]) => ({
      ...assistant,
      name,
      version: versionOf(assistant, made),
    }));
    this.#byName = new Map(all.map((a) => [a.name, a]));
    const first = all[0];
    if (!first) throw new Error("a configuration has at least one assistant");
    this.#first = first;
  }

  /** The named assistant, or the default one: an unknown name answers rather than fails. */
  get(name: string | undefined): Assistant {
    return (name === undefined ? undefined : this.#byName.get(name)) ?? this.#first;
  }

  /** True where a name that nobody has is heard for the first time: of a client that misspells it, one line is enough. */
  isNews(missed: string): boolean {
    if (this.#missed.size >= MOST_MISSED || this.#missed.has(missed)) return false;
    this.#missed.add(missed);
    return true;
  }
}

/** The instructions in a language: that one, its base language, English, or the first there is. */
export function instructionsFor(assistant: AssistantConfig, locale: string): string {
  const { instructions } = assistant;
  if (typeof instructions === "string") return instructions;
  const byLocale = new Map(Object.entries(instructions));
  const base = locale.toLowerCase().split(/[-_]/, 1)[0] ?? "";
  return byLocale.get(locale) ?? byLocale.get(base) ?? byLocale.get("en") ?? [...byLocale.values()][0] ?? "";
}

function versionOf(assistant: AssistantConfig, made: unknown): string {
  const { instructions, knowledge, model, maxOutputTokens, temperature } = assistant;
  return createHash("sha256")
    .update(JSON.stringify([instructions, knowledge, model, maxOutputTokens, temperature, made]))
    .digest("hex")
    .slice(0, 12);
}
