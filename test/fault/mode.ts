// Runs of one mode, as long as asked: kills, handovers, freezes, an outdated host, each with a control that switches a
// protection off. The rows of the list are made of the same modes.
import type { Unsafe } from "#runtime/actor/host.ts";
import type { KillPoint } from "#runtime/observe/kill-point.ts";
import { freezes, handovers, kills, outdated, scheduleOf } from "./modes.ts";
import { FaultRun, type Outcome } from "./run.ts";

export const MODES = ["kills", "handover", "freeze", "outdated", "all"] as const;
export type Mode = (typeof MODES)[number];

export const CONTROLS: Readonly<Record<string, Unsafe>> = {
  "no-ring": { ignoreRing: true },
  "no-outbox": { dropOutbox: true },
  "no-fence": { ignoreFence: true },
};

export interface ModeOptions {
  readonly seed: number;
  readonly minutes: number;
  readonly kills: number;
  readonly handovers: number;
  readonly freezes: number;
  readonly hosts: number;
  readonly workers: number;
  readonly perSecond: number;
  readonly servers: 1 | 3;
  readonly points: readonly KillPoint[];
  readonly calm: boolean;
  readonly simulator: boolean;
  readonly unsafe: Unsafe | undefined;
  readonly say: (line: string) => void;
}

export async function runMode(mode: Mode, options: ModeOptions): Promise<Outcome> {
  const { minutes, handovers: rounds, kills: deaths, points, ...rest } = options;
  const run = await FaultRun.start({
    ...rest,
    // A handover moves everything from one host to the next.
    hosts: mode === "handover" || mode === "outdated" ? 1 : options.hosts,
    outdatedHost: mode === "outdated",
    limitMs: minutes * 60_000,
  });
  try {
    if (mode === "kills" || mode === "all")
      await kills(run, scheduleOf(run.random.fork("schedule"), deaths, points));
    if (mode === "freeze" || mode === "all") await freezes(run, options.freezes);
    if (mode === "handover" || mode === "all") await handovers(run, rounds);
    if (mode === "outdated") await outdated(run, rounds);
    return await run.conclude();
  } catch (error) {
    await run.close();
    throw error;
  }
}
