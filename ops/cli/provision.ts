/** `jetclaw provision`: makes the streams and buckets of a deployment; safe to repeat. */
import { Command, Option } from "commander";
import { natsUrlOf, readSettings } from "../settings.ts";
import { print, printJson } from "./print.ts";

export function provisionCommand(): Command {
  return new Command("provision")
    .description("make or update the streams and buckets of a deployment")
    .addOption(
      new Option("--nats <url>", "NATS server (default: JETCLAW_NATS_URL, else the one of `jetclaw up`)"),
    )
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  jetclaw provision --nats nats://nats:4222\n\nShards are fixed by the first run; replicas and pools follow jetclaw.config.ts.",
    )
    .action(async ({ nats, json }: { nats?: string; json?: boolean }) => {
      const settings = readSettings();
      const [{ createLog }, { loadConfig }, { connectTo, provisionFor }] = await Promise.all([
        import("#runtime/observe/log.ts"),
        import("../config.ts"),
        import("../compose/open.ts"),
      ]);
      const { config } = await loadConfig(settings, { callsModels: false, asks: "nothing" });
      const bus = await connectTo(
        nats ?? natsUrlOf(settings),
        "jetclaw-provision",
        createLog({ level: "warn" }),
      );
      try {
        const deployment = await provisionFor(bus, config);
        const pools = Object.keys(config.pools);
        if (json) printJson({ ...deployment, pools });
        else
          print(
            `Provisioned: ${deployment.shards} shards, ${deployment.replicas} replicas, pools ${pools.join(", ")}.`,
          );
      } finally {
        await bus.close();
      }
    });
}
