/** Makes the models of a pool from its configuration. Zero configuration is resolved before, by whoever reads files. */
import type { ModelConfig, PoolConfig } from "#contracts/config.ts";
import { JetclawError } from "#contracts/errors.ts";
import type { Price } from "#contracts/usage.ts";
import type { Model } from "../port.ts";
import { batchedModel, batchedRequests, isBatched } from "./batched.ts";
import { type EchoOptions, echoModel } from "./echo.ts";
import { kbExtractModel } from "./kb-extract.ts";
import { openaiModel } from "./openai.ts";

/** A model as a pool offers it. */
export interface PooledModel {
  readonly model: Model;
  readonly price: Price | undefined;
  /** Requests one worker runs at once on it. */
  readonly concurrency: number;
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
  }));
}

function modelOf(config: ModelConfig, options: RegistryOptions): Model {
  switch (config.provider) {
    case "openai":
      if (isBatched(config)) return batchedModel(config, secretOf(config));
      return openaiModel({ name: config.name, baseUrl: config.baseUrl, apiKey: secretOf(config) });
    case "kb-extract":
      return kbExtractModel(config.name);
    case "echo":
      return echoModel(config.name, options.echo);
  }
}

function secretOf({ name, apiKey }: ModelConfig): string | undefined {
  if (apiKey === undefined || typeof apiKey === "string") return apiKey;
  throw new JetclawError("config.invalid", `the key of model ${name} is a reference that was not resolved`);
}
