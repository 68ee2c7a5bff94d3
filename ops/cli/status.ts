/** `jetclaw status`: what runs, who owns which partitions, how deep the streams are. */
import { Command, Option } from "commander";
import type { AdminStatus } from "#actors/gateway/port.ts";
import { PARTITIONS } from "#contracts/ids.ts";
import { ask, gatewayOf, reachesGateway } from "./gateway.ts";
import { print, printColumns, printJson } from "./print.ts";

interface StatusFlags {
  readonly url?: string;
  readonly key?: string;
  readonly nats?: string;
  readonly partitions?: boolean;
  readonly json?: boolean;
}

export function statusCommand(): Command {
  return reachesGateway(new Command("status").description("roles, partitions and streams of a deployment"))
    .addOption(new Option("--nats <url>", "read from NATS directly, without a gateway"))
    .option("--partitions", "every partition with its host and epoch")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  jetclaw status\n  jetclaw status --partitions\n  jetclaw status --json | jq .streams\n  jetclaw status --nats nats://127.0.0.1:14222",
    )
    .action(async (flags: StatusFlags) => {
      const status = flags.nats
        ? await statusFromNats(flags.nats)
        : ((await ask(gatewayOf(flags), "/v1/admin/status")).body as AdminStatus);
      if (flags.json) printJson(status);
      else if (flags.partitions) showPartitions(status);
      else show(status);
    });
}

async function statusFromNats(url: string): Promise<AdminStatus> {
  const { readStatus } = await import("./direct.ts");
  return readStatus(url);
}

function show({ at, roles, streams, placement }: AdminStatus): void {
  if (roles.length === 0) print("No role has been heard lately.");
  else
    printColumns(
      ["ROLE", "WHERE", "UP", "STATE", "INFO"],
      [...roles]
        .sort((a, b) => a.role.localeCompare(b.role) || a.instance.localeCompare(b.instance))
        .map((beat) => [
          beat.role,
          beat.where,
          ageOf(at - beat.startedAt),
          beat.draining ? "draining" : "running",
          Object.entries(beat.info)
            // Clock readings are for machines.
            .filter(([name]) => !name.endsWith("At"))
            .map(([name, value]) => `${name} ${value}`)
            .join(", "),
        ]),
    );
  if (placement) {
    print();
    printColumns(
      ["HOST", "WEIGHT", "PARTITIONS", "LEAVING", "HIGHEST EPOCH"],
      placement.hosts.map(({ host, partitions, leaving }) => [
        host,
        weightOf(roles, host),
        partitions.length,
        leaving.length,
        Math.max(...partitions.map((p) => placement.epochs[p] ?? 0)),
      ]),
    );
    if (placement.unowned.length > 0)
      print(`${placement.unowned.length} of ${PARTITIONS} partitions have no owner.`);
  }
  print();
  printColumns(
    ["STREAM", "MESSAGES", "MB"],
    streams.map(({ name, messages, bytes }) => [name, messages, Number((bytes / 1e6).toFixed(2))]),
  );
}

/** Of a host that is heard; else it is gone, or about to be found missing. */
function weightOf(roles: AdminStatus["roles"], host: string): string | number {
  const beat = roles.find(({ role, instance }) => role === "conversation" && instance === host);
  if (!beat) return "not heard";
  return beat.draining ? "draining" : (beat.info.weight ?? 1);
}

function showPartitions({ placement }: AdminStatus): void {
  if (!placement) return print("No host has taken partitions yet.");
  const { hosts, epochs } = placement;
  printColumns(
    ["PARTITION", "EPOCH", "HOST", ""],
    epochs.map((epoch, partition) => {
      const owner = hosts.find(({ partitions }) => partitions.includes(partition));
      return [partition, epoch, owner?.host ?? "nobody", owner?.leaving.includes(partition) ? "leaving" : ""];
    }),
  );
}

function ageOf(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3_600)} h`;
}
