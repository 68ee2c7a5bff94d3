/** `jetclaw up`: everything in one process. What `npm start` runs. */
import { Command } from "commander";
import { readSettings, type Settings } from "../settings.ts";
import { note, print } from "./print.ts";

export function upCommand(): Command {
  return new Command("up")
    .description("run everything in one process, with a NATS server and demo knowledge")
    .addHelpText(
      "after",
      `
Examples:
  jetclaw up
  JETCLAW_PORT=9000 jetclaw up
  OPENAI_BASE_URL=http://127.0.0.1:8000/v1 jetclaw up          the only model of that server
  OPENAI_API_KEY=... JETCLAW_MODEL=gpt-5-mini jetclaw up
  JETCLAW_NATS_URL=nats://nats:4222 jetclaw up                 with a NATS server of yours`,
    )
    .action(async () => {
      const settings = readSettings();
      const [{ createLog }, { loadConfig }, { startUp }, signals] = await Promise.all([
        import("#runtime/observe/log.ts"),
        import("../config.ts"),
        import("../compose/up.ts"),
        import("../compose/signals.ts"),
      ]);
      const log = createLog({ level: settings.logLevel ?? "warn", role: "up" });
      const { config, path, notices } = await loadConfig(settings, { callsModels: true });
      for (const notice of notices) note(notice);
      const started = signals.endWhileStarting();
      const up = await startUp({ settings, config, log, say: note });
      started();
      const served = signals.serveUntilSignalled({
        stop: up.stop,
        drainAsked: up.drainAsked,
        abandon: up.abandon,
        log,
        say: note,
      });
      print(banner(settings, up.url, path, modelsOf(config.pools)));
      await served;
    });
}

const modelsOf = (
  pools: Readonly<Record<string, { readonly models: readonly { readonly name: string }[] }>>,
): string =>
  Object.values(pools)
    .flatMap(({ models }) => models.map(({ name }) => name))
    .join(", ");

function banner(
  { host, dataDir, natsUrl, key }: Settings,
  url: string,
  path: string | undefined,
  models: string,
): string {
  const loopback = ["127.0.0.1", "localhost", "::1"].includes(host);
  return [
    "",
    `  jetclaw is ready:  ${url}`,
    "",
    ...(loopback ? [`  key        ${key}`] : []),
    `  answers    ${models}${models === "kb-extract" ? " (passages of the documents; see README.md to use a model)" : ""}`,
    `  config     ${path ?? "none, so the demo shop (jetclaw init writes one)"}`,
    `  data       ${natsUrl ? "in the NATS server you named" : dataDir}`,
    "  try        npx jetclaw chat, or open the page above",
    "  stop       Ctrl-C",
    "",
  ].join("\n");
}
