/** Secrets by reference become values in the memory of the process that needs them, and nowhere else. */
import { readFile } from "node:fs/promises";
import type { Config } from "#contracts/config.ts";
import { JetclawError } from "#contracts/errors.ts";

type Secret = string | { env: string } | { file: string };
type Environment = Readonly<Record<string, string | undefined>>;

/** @throws JetclawError `config.invalid` naming the variable or the file. */
export async function resolveSecret(secret: Secret, key: string, environment: Environment): Promise<string> {
  if (typeof secret === "string") return secret;
  if ("env" in secret) {
    // A secret of Kubernetes that was made of a file has the file's line end, which no header takes.
    const value = environment[secret.env]?.trim();
    if (value) return value;
    throw new JetclawError(
      "config.invalid",
      `${key} is read from the environment variable ${secret.env}, which is not set; set it and start again`,
    );
  }
  const value = (
    await readFile(secret.file, "utf8").catch((cause: unknown) => {
      throw new JetclawError(
        "config.invalid",
        `${key} is read from the file ${secret.file}, which cannot be read`,
        { cause },
      );
    })
  ).trim();
  if (value) return value;
  throw new JetclawError("config.invalid", `${key} is read from the file ${secret.file}, which is empty`);
}

export async function withModelSecrets(config: Config, environment: Environment): Promise<Config> {
  const pools: Config["pools"] = {};
  for (const [name, pool] of Object.entries(config.pools)) {
    const models = await Promise.all(
      pool.models.map(async (model) => {
        const key = `pools.${name}: the key of the model "${model.name}"`;
        const { endpoints } = model;
        return {
          ...(await withKey(model, key, environment)),
          ...(endpoints
            ? {
                endpoints: await Promise.all(
                  endpoints.map((each, n) => withKey(each, `${key}, endpoint ${n + 1},`, environment)),
                ),
              }
            : {}),
        };
      }),
    );
    pools[name] = { ...pool, models };
  }
  return { ...config, pools };
}

async function withKey<T extends { apiKey?: Secret | undefined }>(
  holder: T,
  key: string,
  environment: Environment,
): Promise<T> {
  if (holder.apiKey === undefined) return holder;
  return { ...holder, apiKey: await resolveSecret(holder.apiKey, key, environment) };
}
