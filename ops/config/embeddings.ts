/** Embeddings and Qdrant from the environment, which wins over the file, and their keys when a process needs them. */
import type { Config, EmbeddingsConfig, QdrantConfig } from "#contracts/config.ts";
import { JetclawError } from "#contracts/errors.ts";
import type { Settings } from "../settings.ts";
import { assertUrl, modelsOf } from "./model.ts";
import { resolveSecret } from "./secrets.ts";

/** @returns also what whoever starts the process should read @throws JetclawError `config.invalid` naming the variable */
export async function withEmbeddings(
  config: Config,
  settings: Settings,
): Promise<{ config: Config; notices: string[] }> {
  const embeddings = await embeddingsOf(config.embeddings, settings.embeddings);
  const qdrant = qdrantOf(config.qdrant, settings.qdrant);
  const notices =
    qdrant && !embeddings
      ? [
          "Qdrant is configured, but nothing makes vectors for it, so documents are found by their words alone. Set JETCLAW_EMBEDDINGS_URL and JETCLAW_EMBEDDINGS_MODEL.",
        ]
      : [];
  return {
    config: { ...config, ...(embeddings ? { embeddings } : {}), ...(qdrant ? { qdrant } : {}) },
    notices,
  };
}

async function embeddingsOf(
  declared: EmbeddingsConfig | undefined,
  { url, model }: Settings["embeddings"],
): Promise<EmbeddingsConfig | undefined> {
  if (url !== undefined) assertUrl("JETCLAW_EMBEDDINGS_URL", url);
  const baseUrl = (url ?? declared?.baseUrl)?.replace(/\/+$/, "");
  if (baseUrl === undefined) {
    if (model === undefined) return undefined;
    throw new JetclawError(
      "config.invalid",
      "JETCLAW_EMBEDDINGS_MODEL is set; set JETCLAW_EMBEDDINGS_URL to where it runs",
    );
  }
  return { ...declared, baseUrl, model: model ?? declared?.model ?? (await onlyModelOf(baseUrl)) };
}

async function onlyModelOf(baseUrl: string): Promise<string> {
  const names = await modelsOf(baseUrl, undefined).catch((error: unknown): string[] => {
    // A server that answers without a list may embed all the same; one that does not answer does not.
    if (!(error instanceof Error && error.cause)) return [];
    throw new JetclawError(
      "config.invalid",
      `the embeddings server at ${baseUrl} does not answer; start it, or correct JETCLAW_EMBEDDINGS_URL`,
      { cause: error.cause },
    );
  });
  if (names.length === 1) return names[0] as string;
  throw new JetclawError(
    "config.invalid",
    names.length === 0
      ? `${baseUrl}/models names no model; set JETCLAW_EMBEDDINGS_MODEL to the one that embeds`
      : `${baseUrl}/models names ${names.length} models; set JETCLAW_EMBEDDINGS_MODEL to the one that embeds`,
  );
}

function qdrantOf(
  declared: QdrantConfig | undefined,
  { url, apiKey }: Settings["qdrant"],
): QdrantConfig | undefined {
  if (url !== undefined) assertUrl("QDRANT_URL", url);
  const at = url ?? declared?.url;
  if (at === undefined) return undefined;
  const key = apiKey ?? declared?.apiKey;
  return { prefix: "jetclaw", ...declared, url: at, ...(key === undefined ? {} : { apiKey: key }) };
}

/** Only a process that uses it needs the key. @throws JetclawError `config.invalid` naming the variable or the file */
export const apiKeyOf = async (
  { apiKey }: Pick<EmbeddingsConfig | QdrantConfig, "apiKey">,
  name: "embeddings.apiKey" | "qdrant.apiKey",
): Promise<string | undefined> =>
  apiKey === undefined ? undefined : await resolveSecret(apiKey, name, process.env);
