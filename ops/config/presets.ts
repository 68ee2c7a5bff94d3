/**
 * Well-known providers, as data: where they are, which variable holds the key, and what some of their models cost.
 * Prices are list prices in US dollars a million tokens, without batch, priority or long-context rates; a `price` in the
 * configuration wins over them, and a model that is not listed has no price.
 */
import type { ModelConfig } from "#contracts/config.ts";
import { JetclawError } from "#contracts/errors.ts";
import type { Price } from "#contracts/usage.ts";

/** When the prices below were list prices. Providers change them without notice. */
export const PRICES_AS_OF = "2025-11";

interface Preset {
  /** Undefined: each customer has one of their own. */
  readonly baseUrl?: string;
  /** Environment variable of the key; undefined: none is needed. */
  readonly keyVariable?: string;
  readonly prices?: Readonly<Record<string, Price>>;
}

const price = (inputPerMTok: number, outputPerMTok: number, cachedInputPerMTok?: number): Price => ({
  inputPerMTok,
  outputPerMTok,
  ...(cachedInputPerMTok === undefined ? {} : { cachedInputPerMTok }),
});

export const PRESETS: Readonly<Record<string, Preset>> = {
  openai: {
    baseUrl: "https://api.openai.com/v1",
    keyVariable: "OPENAI_API_KEY",
    prices: {
      "gpt-5": price(1.25, 10, 0.125),
      "gpt-5-mini": price(0.25, 2, 0.025),
      "gpt-5-nano": price(0.05, 0.4, 0.005),
      "gpt-4.1": price(2, 8, 0.5),
      "gpt-4.1-mini": price(0.4, 1.6, 0.1),
      "gpt-4.1-nano": price(0.1, 0.4, 0.025),
      "gpt-4o": price(2.5, 10, 1.25),
      "gpt-4o-mini": price(0.15, 0.6, 0.075),
    },
  },
  anthropic: {
    baseUrl: "https://api.anthropic.com/v1",
    keyVariable: "ANTHROPIC_API_KEY",
    prices: {
      "claude-opus-4-1": price(15, 75, 1.5),
      "claude-sonnet-4-5": price(3, 15, 0.3),
      "claude-haiku-4-5": price(1, 5, 0.1),
    },
  },
  gemini: {
    baseUrl: "https://generativelanguage.googleapis.com/v1beta/openai",
    keyVariable: "GEMINI_API_KEY",
    prices: {
      "gemini-2.5-pro": price(1.25, 10),
      "gemini-2.5-flash": price(0.3, 2.5),
      "gemini-2.5-flash-lite": price(0.1, 0.4),
    },
  },
  mistral: { baseUrl: "https://api.mistral.ai/v1", keyVariable: "MISTRAL_API_KEY" },
  groq: {
    baseUrl: "https://api.groq.com/openai/v1",
    keyVariable: "GROQ_API_KEY",
    prices: {
      "llama-3.3-70b-versatile": price(0.59, 0.79),
      "llama-3.1-8b-instant": price(0.05, 0.08),
    },
  },
  together: { baseUrl: "https://api.together.xyz/v1", keyVariable: "TOGETHER_API_KEY" },
  fireworks: { baseUrl: "https://api.fireworks.ai/inference/v1", keyVariable: "FIREWORKS_API_KEY" },
  deepseek: { baseUrl: "https://api.deepseek.com/v1", keyVariable: "DEEPSEEK_API_KEY" },
  openrouter: { baseUrl: "https://openrouter.ai/api/v1", keyVariable: "OPENROUTER_API_KEY" },
  /** `https://<resource>.openai.azure.com/openai/v1`; the name of the model is that of the deployment. */
  azure: { keyVariable: "AZURE_OPENAI_API_KEY" },
  ollama: { baseUrl: "http://127.0.0.1:11434/v1" },
  vllm: { baseUrl: "http://127.0.0.1:8000/v1" },
};

/**
 * Fills in what a model leaves out. The key stays a reference: a process that calls no models needs no keys.
 * @throws JetclawError `config.invalid` for a preset that does not exist
 */
export function withPreset(pool: string, model: ModelConfig): ModelConfig {
  if (model.preset === undefined) return model;
  const preset = Object.hasOwn(PRESETS, model.preset) ? PRESETS[model.preset] : undefined;
  if (!preset)
    throw new JetclawError(
      "config.invalid",
      `pools.${pool}: the model "${model.name}" has the preset "${model.preset}"; there are ${Object.keys(PRESETS).join(", ")}`,
    );
  const { endpoints } = model;
  const everywhere = (has: (endpoint: { baseUrl?: unknown; apiKey?: unknown }) => boolean): boolean =>
    endpoints?.every(has) ?? false;
  const baseUrl = model.baseUrl ?? preset.baseUrl;
  if (baseUrl === undefined && !everywhere((endpoint) => endpoint.baseUrl !== undefined))
    throw new JetclawError(
      "config.invalid",
      `pools.${pool}: the model "${model.name}" needs a baseUrl: with the preset "${model.preset}" everybody has their own`,
    );
  const needsKey = model.apiKey === undefined && !everywhere((endpoint) => endpoint.apiKey !== undefined);
  const listed =
    preset.prices && Object.hasOwn(preset.prices, model.name) ? preset.prices[model.name] : undefined;
  const cost = model.price ?? listed;
  return {
    ...model,
    ...(baseUrl === undefined ? {} : { baseUrl }),
    ...(needsKey && preset.keyVariable ? { apiKey: { env: preset.keyVariable } } : {}),
    ...(cost ? { price: cost } : {}),
  };
}

/** @throws JetclawError `config.invalid` */
export const withPresets = <P extends { models: ModelConfig[] }>(
  pools: Record<string, P>,
): Record<string, P> =>
  Object.fromEntries(
    Object.entries(pools).map(([name, pool]) => [
      name,
      { ...pool, models: pool.models.map((model) => withPreset(name, model)) },
    ]),
  );
