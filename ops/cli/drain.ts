/** `jetclaw drain`: a process hands over what it holds and ends; the others go on with it. */
import { Command, Option } from "commander";
import { LIMITS } from "#contracts/limits.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import type { Beat, Presence } from "#runtime/observe/presence.ts";
import { natsUrlOf, readSettings } from "../settings.ts";
import { CliFailure, usage } from "./failure.ts";
import { note, printColumns, printJson, progressLine } from "./print.ts";

interface DrainFlags {
  readonly nats?: string;
  readonly json?: boolean;
}

/** A process that is known by the beats of its roles. */
interface Running {
  readonly instance: string;
  readonly where: string;
  readonly beats: readonly Beat[];
}

const POLL_MS = 100;
/** A process that drains ends itself after the time it has for that; a little later it has not heard us. */
const LIMIT_MS = LIMITS.drainMs + 15_000;

export function drainCommand(): Command {
  return new Command("drain")
    .description("let a process hand over what it holds and end, as SIGTERM does")
    .argument("[process]", "its instance or the end of it, or a role; without one, what could be drained")
    .addOption(
      new Option("--nats <url>", "NATS server (default: JETCLAW_NATS_URL, else the one of `jetclaw up`)"),
    )
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
A role is drained one process after the other. Partitions of a host move one by one, each when it has finished what it
is handling; without another host they stay with nobody until one starts.

Examples:
  jetclaw drain
  jetclaw drain host-7-4711-x8Kq2a
  jetclaw drain x8Kq2a
  jetclaw drain worker --nats nats://nats:4222`,
    )
    .action(run);
}

async function run(wanted: string | undefined, flags: DrainFlags): Promise<void> {
  const { withPresence } = await import("./direct.ts");
  await withPresence(flags.nats ?? natsUrlOf(readSettings()), async (bus, presence) => {
    const running = processes(presence);
    if (wanted === undefined) return show(running, flags);
    const chosen = choose(running, wanted);
    const drained: { instance: string; roles: readonly string[]; tookMs: number }[] = [];
    for (const each of chosen) drained.push(await drainOne(bus, presence, each));
    if (flags.json) printJson(drained);
  });
}

function processes(presence: Presence): Running[] {
  const byInstance = new Map<string, Beat[]>();
  for (const beat of presence.live())
    byInstance.set(beat.instance, [...(byInstance.get(beat.instance) ?? []), beat]);
  return [...byInstance].map(([instance, beats]) => ({ instance, where: beats[0]?.where ?? "", beats }));
}

const rolesOf = ({ beats }: Running): string => beats.map(({ role }) => role).join(", ");

function show(running: readonly Running[], { json }: DrainFlags): void {
  if (json)
    return printJson(
      running.map(({ instance, where, beats }) => ({
        instance,
        where,
        roles: beats.map(({ role }) => role),
      })),
    );
  if (running.length === 0) return note("No process has been heard lately.");
  printColumns(
    ["PROCESS", "WHERE", "ROLES", "PARTITIONS"],
    running.map((each) => [each.instance, each.where, rolesOf(each), partitionsOf(each.beats)]),
  );
}

function choose(running: readonly Running[], wanted: string): readonly Running[] {
  const named = running.filter(({ instance }) => instance === wanted || instance.endsWith(wanted));
  if (named.length === 1) return named;
  if (named.length > 1)
    throw usage(`"${wanted}" is the end of several: ${named.map(({ instance }) => instance).join(", ")}`);
  const playing = running.filter(({ beats }) => beats.some(({ role }) => role === wanted));
  if (playing.length > 0) return playing;
  throw new CliFailure(`no process "${wanted}" has been heard lately, and no role of that name`, {
    next: "jetclaw drain lists those that can be drained.",
  });
}

async function drainOne(bus: Bus, presence: Presence, chosen: Running) {
  const { instance } = chosen;
  const { askToDrain } = await import("../compose/drain.ts");
  const startedAt = performance.now();
  const roles = await askToDrain(bus, instance);
  const progress = progressLine();
  const before = partitionsOf(chosen.beats);
  for (;;) {
    const beats = presence.live().filter((beat) => beat.instance === instance);
    const tookMs = Math.round(performance.now() - startedAt);
    if (beats.length === 0) {
      progress.end(`${instance} (${roles.join(", ")}) drained in ${(tookMs / 1_000).toFixed(1)} s.`);
      return { instance, roles, tookMs };
    }
    if (tookMs > LIMIT_MS)
      throw new CliFailure(`${instance} has not ended within ${LIMIT_MS / 1_000} s`, {
        next: "jetclaw status shows what it holds; what it held is kept in the streams whatever ends it.",
      });
    const left = partitionsOf(beats);
    progress.update(
      `${instance} drains: ${before === undefined ? rolesOf(chosen) : `${left ?? 0} of ${before} partitions left`}`,
    );
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

function partitionsOf(beats: readonly Beat[]): number | undefined {
  const { partitions } = beats.find(({ role }) => role === "conversation")?.info ?? {};
  return partitions === undefined ? undefined : Number(partitions);
}
