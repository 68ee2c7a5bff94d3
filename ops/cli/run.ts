/** `jetclaw run <role>[,role]`: chosen roles of a larger deployment in this process. */
import { Command, Option } from "commander";
import { isRole, ROLES, type Role } from "../compose/roles.ts";
import { natsUrlOf, readSettings } from "../settings.ts";
import { usage } from "./failure.ts";
import { wholeNumber } from "./number-option.ts";
import { note } from "./print.ts";

interface RunFlags {
  readonly nats?: string;
  readonly pool?: readonly string[];
  readonly slots?: number;
  readonly weight?: number;
  readonly host?: string;
  readonly port?: number;
  readonly metricsPort?: number;
}

export function runCommand(): Command {
  return new Command("run")
    .description("run chosen roles of a deployment in this process")
    .argument("<roles>", `comma-separated: ${Object.keys(ROLES).join(", ")}`)
    .addOption(
      new Option("--nats <url>", "NATS server (default: JETCLAW_NATS_URL, else the one of `jetclaw up`)"),
    )
    .addOption(new Option("--pool <name...>", "worker: pools to serve (default: all)"))
    .addOption(new Option("--slots <n>", "worker: jobs at once").argParser(wholeNumber("--slots")))
    .addOption(
      new Option(
        "--weight <n>",
        "conversation: share of the partitions relative to other hosts (default: 1)",
      ).argParser(wholeNumber("--weight")),
    )
    .addOption(new Option("--host <address>", "address to listen on (default: JETCLAW_HOST, else 127.0.0.1)"))
    .addOption(
      new Option("--port <port>", "gateway: port (default: JETCLAW_PORT, else 8080)").argParser(
        wholeNumber("--port", 0, 65_535),
      ),
    )
    .addOption(
      new Option(
        "--metrics-port <port>",
        "also answer /metrics, /healthz and /readyz here; for roles without a gateway",
      ).argParser(wholeNumber("--metrics-port", 0, 65_535)),
    )
    .addHelpText(
      "after",
      `\nExamples:\n  jetclaw run gateway --port 8081\n  jetclaw run conversation\n  jetclaw run conversation --weight 2\n  jetclaw run worker --pool default --slots 16 --metrics-port 9464\n  jetclaw run gateway,conversation,invalidator\n\nRoles:\n${roleLines()}`,
    )
    .action(run);
}

async function run(list: string, flags: RunFlags): Promise<void> {
  const roles = rolesOf(list);
  const settings = readSettings();
  const [{ createLog }, { loadConfig }, { runProcess }, signals] = await Promise.all([
    import("#runtime/observe/log.ts"),
    import("../config.ts"),
    import("../compose/process.ts"),
    import("../compose/signals.ts"),
  ]);
  const log = createLog({ level: settings.logLevel ?? "info", role: roles.join(",") });
  const { config, notices } = await loadConfig(settings, { callsModels: roles.includes("worker") });
  const unknown = flags.pool?.find((pool) => !Object.hasOwn(config.pools, pool));
  if (unknown)
    throw usage(
      `there is no pool "${unknown}"`,
      `The configuration has ${Object.keys(config.pools).join(", ")}.`,
    );
  for (const notice of notices) note(notice);
  const started = signals.endWhileStarting();
  const running = await runProcess({
    roles,
    settings: { ...settings, host: flags.host ?? settings.host, port: flags.port ?? settings.port },
    config,
    natsUrl: flags.nats ?? natsUrlOf(settings),
    log,
    say: note,
    ...(flags.pool ? { pools: flags.pool } : {}),
    ...(flags.slots === undefined ? {} : { slots: flags.slots }),
    ...(flags.weight === undefined ? {} : { weight: flags.weight }),
    metricsPort: flags.metricsPort,
  });
  started();
  // Before it is said: who hears that it runs may stop it at once.
  const served = signals.serveUntilSignalled({
    stop: running.stop,
    drainAsked: running.drainAsked,
    abandon: async () => {},
    log,
    say: note,
  });
  const probes = running.metricsPort === undefined ? "" : `, figures at port ${running.metricsPort}`;
  note(`Running ${roles.join(", ")}${running.url ? ` at ${running.url}` : ""}${probes}. Ctrl-C stops.`);
  await served;
}

function rolesOf(list: string): Role[] {
  const names = list.split(",").map((each) => each.trim());
  const unknown = names.filter((name) => !isRole(name));
  if (unknown.length > 0)
    throw usage(
      `unknown role ${unknown.map((each) => `"${each}"`).join(", ")}`,
      `Roles are ${Object.keys(ROLES).join(", ")}.`,
    );
  return [...new Set(names)] as Role[];
}

const roleLines = (): string =>
  Object.entries(ROLES)
    .map(([name, { about }]) => `  ${name.padEnd(14)}${about}`)
    .join("\n");
