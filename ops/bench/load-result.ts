/** What the benchmarks of load have in common in what they report: machine, settings that are the same for all, units. */
import type { LoadBench } from "./deployed.ts";
import { type BenchResult, describeMachine } from "./shape.ts";

export interface LoadMeasured extends Pick<BenchResult, "bench" | "figures" | "verdicts" | "series"> {
  readonly config: Readonly<Record<string, unknown>>;
  /** Besides the client and the server. */
  readonly processes: Readonly<Record<string, number>>;
  readonly baselines?: BenchResult["baselines"];
  readonly unitOf: (name: string) => string;
  readonly fsyncP50Ms: number;
}

export function loadResult(
  { seed, natsServer }: Pick<LoadBench, "seed" | "natsServer">,
  { config, processes, fsyncP50Ms, unitOf, baselines = {}, ...measured }: LoadMeasured,
): BenchResult {
  const names = [...Object.keys(measured.figures), ...Object.keys(baselines)];
  return {
    ...measured,
    seed,
    machine: describeMachine(natsServer),
    config: {
      ...config,
      sync: "1s",
      fsyncP50Ms,
      traceSampling: 0,
      processes: { client: 1, ...processes, natsServer: 1 },
    },
    baselines,
    units: Object.fromEntries(names.map((name) => [name, unitOf(name)])),
  };
}
