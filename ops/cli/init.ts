/** `jetclaw init`: a configuration to start from. */
import { access, writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { Command } from "commander";
import { CliFailure } from "./failure.ts";
import { print } from "./print.ts";

const STARTER = `import { defineConfig } from "jetclaw";

export default defineConfig({
  assistants: {
    shop: {
      instructions: {
        en: "You help the customers of our shop. Answer from the passages you are given, briefly.",
        nl: "Je helpt de klanten van onze winkel. Antwoord kort, vanuit de passages die je krijgt.",
      },
      knowledge: ["shop"], // collections: jetclaw kb import docs/ --collection shop
    },
  },
  // Without pools the built-in kb-extract answers with passages of your documents.
  // With a model of a known provider (its key in OPENAI_API_KEY, ANTHROPIC_API_KEY, ...), or of a server of yours:
  // pools: {
  //   default: { models: [{ name: "gpt-5-mini", preset: "openai" }] },
  //   own: { models: [{ name: "qwen3-8b", baseUrl: "http://gpu-1:8000/v1" }] },
  // },
});
`;

export function initCommand(): Command {
  return new Command("init")
    .description("write a jetclaw.config.ts to start from")
    .option("--force", "replace an existing file")
    .addHelpText("after", "\nExamples:\n  jetclaw init\n  jetclaw init --force")
    .action(async ({ force }: { force?: boolean }) => {
      const path = resolve("jetclaw.config.ts");
      const exists = await access(path).then(
        () => true,
        () => false,
      );
      if (exists && !force)
        throw new CliFailure(`${path} exists already`, {
          next: "Keep it, or replace it: jetclaw init --force",
        });
      await writeFile(path, STARTER);
      print(`Wrote ${path}. Next: jetclaw up`);
    });
}
