/** Zero configuration: the pool `default` from OPENAI_BASE_URL, OPENAI_API_KEY and JETCLAW_MODEL, or kb-extract. */
import type { PoolConfig } from "#contracts/config.ts";
import { JetclawError } from "#contracts/errors.ts";
import type { Settings } from "../settings.ts";

const OPENAI = "https://api.openai.com/v1";
const ASK_LIMIT_MS = 10_000;
/** Beyond this many a list helps nobody. */
const LISTED = 12;

const poolOf = (model: PoolConfig["models"][number]): PoolConfig => ({ models: [model], fallback: [] });

/** @throws JetclawError `config.invalid` when it cannot be told which model is meant. */
export async function poolFromEnvironment(
  model: Settings["model"],
): Promise<{ pool: PoolConfig; notice?: string }> {
  const { name, baseUrl, apiKey } = model;
  if (name === "kb-extract" || (!baseUrl && !apiKey)) {
    const pool = poolOf({ name: "kb-extract", provider: "kb-extract", concurrency: 64 });
    if (!name || name === "kb-extract") return { pool };
    throw new JetclawError(
      "config.invalid",
      `JETCLAW_MODEL is "${name}" but nothing says where it runs; set OPENAI_BASE_URL or OPENAI_API_KEY`,
    );
  }
  if (!baseUrl && !name)
    return {
      pool: poolOf({ name: "kb-extract", provider: "kb-extract", concurrency: 64 }),
      notice:
        "OPENAI_API_KEY is set, but no model is named, so kb-extract answers. To use a model, set JETCLAW_MODEL.",
    };
  if (baseUrl) assertUrl("OPENAI_BASE_URL", baseUrl);
  const at = (baseUrl ?? OPENAI).replace(/\/+$/, "");
  const chosen = name ?? (await onlyModelOf(at, apiKey));
  return {
    pool: poolOf({
      name: chosen,
      provider: "openai",
      baseUrl: at,
      ...(apiKey ? { apiKey } : {}),
      concurrency: 8,
    }),
  };
}

async function onlyModelOf(baseUrl: string, apiKey: string | undefined): Promise<string> {
  const names = await modelsOf(baseUrl, apiKey);
  if (names.length === 1) return names[0] as string;
  const list =
    names.slice(0, LISTED).join(", ") + (names.length > LISTED ? ` and ${names.length - LISTED} more` : "");
  throw new JetclawError(
    "config.invalid",
    names.length === 0
      ? `${baseUrl}/models lists no model; set JETCLAW_MODEL to the one to use`
      : `${baseUrl}/models lists ${names.length} models: ${list}; set JETCLAW_MODEL to one of them`,
  );
}

/** The names of the models that an OpenAI-compatible server offers. @throws JetclawError `config.invalid` */
export async function modelsOf(baseUrl: string, apiKey: string | undefined): Promise<string[]> {
  const url = `${baseUrl.replace(/\/+$/, "")}/models`;
  const headers = apiKey ? { authorization: `Bearer ${apiKey}` } : undefined;
  const response = await fetch(url, {
    ...(headers ? { headers } : {}),
    signal: AbortSignal.timeout(ASK_LIMIT_MS),
  }).catch((cause: unknown) => {
    throw new JetclawError(
      "config.invalid",
      `the model server at ${url} does not answer; start it, or correct its address (baseUrl, or OPENAI_BASE_URL)`,
      { cause },
    );
  });
  if (!response.ok) {
    const hint =
      response.status === 404 && !baseUrl.endsWith("/v1")
        ? `; is it ${baseUrl}/v1?`
        : response.status === 401
          ? "; is OPENAI_API_KEY right?"
          : "";
    throw new JetclawError("config.invalid", `${url} answers ${response.status}${hint}`);
  }
  const body = (await response.json().catch(() => ({}))) as { data?: unknown };
  const data = Array.isArray(body.data) ? body.data : [];
  return data.flatMap((each: { id?: unknown }) => (typeof each.id === "string" ? [each.id] : []));
}

/** @throws JetclawError `config.invalid` naming the variable */
export function assertUrl(name: string, value: string): void {
  if (URL.canParse(value) && /^https?:$/.test(new URL(value).protocol)) return;
  throw new JetclawError(
    "config.invalid",
    `${name} is "${value}", not a URL such as http://127.0.0.1:8090/v1`,
  );
}
