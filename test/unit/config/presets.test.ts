// A model of a well-known provider is one line of configuration.
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { type ConfigInput, configSchema } from "#contracts/config.ts";
import { PRESETS, PRICES_AS_OF, withPresets } from "#ops/config/presets.ts";
import { withModelSecrets } from "#ops/config/secrets.ts";
import { readSettings } from "#ops/settings.ts";

type Models = NonNullable<ConfigInput["pools"]>[string]["models"];

const configOf = (...models: Models) => {
  const config = configSchema.parse({ pools: { large: { models } } });
  return { ...config, pools: withPresets(config.pools) };
};
const modelOf = (...models: Models) => configOf(...models).pools.large?.models[0];

describe("a preset", () => {
  test("gives a model its address, the variable of its key and its price", async () => {
    const config = configOf({ name: "gpt-5-mini", preset: "openai" });
    expect(config.pools.large?.models[0]).toMatchObject({
      baseUrl: "https://api.openai.com/v1",
      apiKey: { env: "OPENAI_API_KEY" },
      price: { inputPerMTok: 0.25, outputPerMTok: 2 },
    });
    const resolved = await withModelSecrets(config, { OPENAI_API_KEY: "sk-1" });
    expect(resolved.pools.large?.models[0]?.apiKey).toBe("sk-1");
  });

  test("takes a key from a variable that has the line end of the file it was made of", async () => {
    const config = configOf({ name: "gpt-5-mini", preset: "openai" });
    const { pools } = await withModelSecrets(config, { OPENAI_API_KEY: "sk-1\n" });
    expect(pools.large?.models[0]?.apiKey).toBe("sk-1");
    expect(readSettings({ OPENAI_API_KEY: "sk-1\r\n" }).model.apiKey).toBe("sk-1");
  });

  test("changes nothing that the configuration says itself", () => {
    const price = { inputPerMTok: 7, outputPerMTok: 7 };
    const own = { name: "gpt-5-mini", preset: "openai", baseUrl: "http://proxy/v1", apiKey: "mine", price };
    expect(modelOf(own)).toMatchObject({ baseUrl: "http://proxy/v1", apiKey: "mine", price });
    const local = modelOf({ name: "qwen3", preset: "ollama" });
    expect(local).toMatchObject({ baseUrl: "http://127.0.0.1:11434/v1" });
    expect(local?.apiKey).toBeUndefined();
    expect(local?.price).toBeUndefined();
  });

  test("serves several keys of one provider", async () => {
    const config = configOf({
      name: "gpt-5",
      preset: "openai",
      endpoints: [{ apiKey: { env: "FIRST" } }, { apiKey: { env: "SECOND" } }],
    });
    const { pools } = await withModelSecrets(config, { FIRST: "1", SECOND: "2" });
    expect(pools.large?.models[0]).toMatchObject({
      baseUrl: "https://api.openai.com/v1",
      endpoints: [{ apiKey: "1" }, { apiKey: "2" }],
    });
    expect(pools.large?.models[0]?.apiKey).toBeUndefined();
  });

  test("that does not exist is refused with those that do, also where it is a word of JavaScript", () => {
    for (const preset of ["opnai", "constructor", "__proto__"])
      expect(() => modelOf({ name: "x", preset })).toThrow(/"x" has the preset .*openai, anthropic, gemini/);
  });

  test("whose key is not set names the variable", async () => {
    await expect(withModelSecrets(configOf({ name: "x", preset: "groq" }), {})).rejects.toThrow(
      /"x".*GROQ_API_KEY, which is not set/,
    );
  });

  test("without an address of its own asks for one", () => {
    expect(() => modelOf({ name: "mine", preset: "azure" })).toThrow(/"mine" needs a baseUrl/);
    const baseUrl = "https://shop.openai.azure.com/openai/v1";
    expect(modelOf({ name: "mine", preset: "azure", baseUrl })?.apiKey).toEqual({
      env: "AZURE_OPENAI_API_KEY",
    });
  });

  test("is named where somebody reads first, with the date of the prices", () => {
    const readme = readFileSync(new URL("../../../README.md", import.meta.url), "utf8");
    const [, names = ""] = /Presets: ([^.]+)\./.exec(readme) ?? [];
    expect([...names.matchAll(/`([a-z]+)`/g)].map(([, name]) => name).sort()).toEqual(
      Object.keys(PRESETS).sort(),
    );
    expect(readme).toContain(`(of ${PRICES_AS_OF})`);
  });

  test("is a valid address, and its prices pass the configuration's own check", () => {
    for (const [preset, { baseUrl, prices = {} }] of Object.entries(PRESETS)) {
      if (baseUrl) expect(baseUrl).toMatch(/^https?:\/\/[^ ]+[^/]$/);
      for (const [name, price] of Object.entries(prices))
        expect(() => configOf({ name, preset, baseUrl: baseUrl ?? "http://x/v1", price })).not.toThrow();
    }
  });
});
