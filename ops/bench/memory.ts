/** `jetclaw bench turns --watch-memory`: minutes of load with ever new sessions; the memory of hosts must stay flat. */
import { closedLoop } from "./load.ts";
import { startOurs } from "./ours.ts";
import { type BenchResult, describeMachine, fsyncP50Ms, round, slope } from "./shape.ts";
import type { TurnsOptions } from "./turns.ts";

const SAMPLE_SECONDS = 5;
/** Caches and compiled code fill up first; the slope is taken over what follows. */
const SETTLING_SHARE = 1 / 3;
/** Few enough that hosts passivate from the first minute on; a leak shows beyond what they keep. */
const RESIDENCY = 2_000;

export async function benchMemory(
  options: Omit<TurnsOptions, "rounds">,
  minutes: number,
): Promise<BenchResult> {
  const { sessions, turnsPerSession, payloads, chunks, model, sync, shards, hosts, workers } = options.side;
  const fsync = fsyncP50Ms(options.folder);
  const side = await startOurs({
    ...options.side,
    folder: options.folder,
    seed: options.seed,
    residency: RESIDENCY,
  });
  const samples: [minute: number, mb: number][] = [];
  let turns = 0;
  const from = performance.now();
  const minute = (): number => (performance.now() - from) / 60_000;
  try {
    while (minute() < minutes) {
      turns += (await closedLoop(side, options.inFlight, SAMPLE_SECONDS)).turns;
      const mb = Math.max(...(await side.hostRssMb()));
      samples.push([minute(), mb]);
      options.say(
        `${minute().toFixed(1)} of ${minutes} min: ${turns} turns, largest host ${mb.toFixed(0)} MB`,
      );
    }
  } finally {
    await side.stop();
  }
  const settled = samples.slice(Math.floor(samples.length * SETTLING_SHARE));
  const figures = {
    hostRssMbPerMinute: round(slope(settled), 2),
    hostRssStartMb: round(settled[0]?.[1] ?? 0, 1),
    hostRssEndMb: round(settled.at(-1)?.[1] ?? 0, 1),
    turns,
    turnsPerSecond: round(turns / (minutes * 60), 1),
  };
  return {
    bench: "turns-memory",
    seed: options.seed,
    machine: describeMachine(options.natsServer),
    config: {
      minutes,
      inFlight: options.inFlight,
      residency: RESIDENCY,
      sessions,
      turnsPerSession,
      payloads,
      chunks,
      model,
      sync,
      shards,
      processes: { client: 1, hosts, workers, natsServer: 1 },
      fsyncP50Ms: fsync,
      traceSampling: 0,
    },
    figures,
    units: {
      hostRssMbPerMinute: "MB/min",
      hostRssStartMb: "MB",
      hostRssEndMb: "MB",
      turns: "turns",
      turnsPerSecond: "turns/s",
    },
    baselines: {},
  };
}
