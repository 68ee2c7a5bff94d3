/** Makes the models of a pool from its configuration. Zero configuration is resolved before, by whoever reads files. */
import type { ModelConfig, PoolConfig } from "#contracts/config.ts";
import { JetclawError } from "#contracts/errors.ts";
import type { Price } from "#contracts/usage.ts";
import { systemClock } from "#runtime/clock.ts";
import type { Model } from "../port.ts";
import { batchedModel, batchedRequests, isBatched } from "./batched.ts";
import { type EchoOptions, echoModel } from "./echo.ts";
import { type Endpoint, rotating } from "./endpoints.ts";
import { kbExtractModel } from "./kb-extract.ts";
import { isOffline, type OfflineModel, offlineModel } from "./offline.ts";
import { openaiEndpoint } from "./openai.ts";

/** A model as a pool offers it. */
export interface PooledModel {
  readonly model: Model;
  readonly price: Price | undefined;
  /** Requests one worker runs at once on it. */
  readonly concurrency: number;
  /** How jobs that nobody waits for are sent, where not like all others. */
  readonly offline?: OfflineModel | undefined;
}

export interface RegistryOptions {
  /** For models of the provider `echo`. */
  readonly echo?: EchoOptions | undefined;
}

/** @throws JetclawError `config.invalid` for a secret that was not resolved */
export function modelsOf(pool: PoolConfig, options: RegistryOptions = {}): PooledModel[] {
  return pool.models.map((config) => ({
    model: modelOf(config, options),
    price: config.price,
    concurrency: isBatched(config) ? batchedRequests(config) : config.concurrency,
    ...(isOffline(config) ? { offline: offlineModel(config, firstKeyOf(config)) } : {}),
  }));
}

function modelOf(config: ModelConfig, options: RegistryOptions): Model {
  switch (config.provider) {
    case "openai":
      return rotating(config.name, endpointsOf(config), systemClock);
    case "kb-extract":
      return kbExtractModel(config.name);
    case "echo":
      return echoModel(config.name, options.echo);
  }
}

/** What an endpoint leaves out it has from its model. */
function endpointsOf(config: ModelConfig): Endpoint[] {
  const { name, timeouts } = config;
  const places = config.endpoints ?? [{}];
  const seen = new Map<string, number>();
  return places.map((place) => {
    const baseUrl = place.baseUrl ?? config.baseUrl;
    const apiKey = secretOf(name, place.apiKey ?? config.apiKey);
    // Several keys of one address are told apart by their order; a key has no place in an id.
    const key = (seen.get(baseUrl ?? "") ?? 0) + 1;
    seen.set(baseUrl ?? "", key);
    const id = `${baseUrl ?? ""} ${key}`;
    const concurrency = Math.ceil(config.concurrency / places.length);
    const at = { ...config, concurrency, ...(baseUrl === undefined ? {} : { baseUrl }) };
    return isBatched(at)
      ? { id, concurrency: batchedRequests(at), model: batchedModel(at, apiKey) }
      : { id, concurrency, ...openaiEndpoint({ name, baseUrl, apiKey, timeouts }) };
  });
}

/** A batch belongs to the account that sent it: it goes by the first of the model's keys. */
const firstKeyOf = ({ name, apiKey, endpoints }: ModelConfig): string | undefined =>
  secretOf(name, endpoints?.[0]?.apiKey ?? apiKey);

function secretOf(name: string, apiKey: ModelConfig["apiKey"]): string | undefined {
  if (apiKey === undefined || typeof apiKey === "string") return apiKey;
  throw new JetclawError("config.invalid", `the key of model ${name} is a reference that was not resolved`);
}
