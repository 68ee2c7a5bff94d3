/** Keeps as many workers of a pool on this machine as its drain time asks for. */
import { DrainMeter, scaleValue } from "#actors/governor/drain.ts";
import { QueueReader } from "#actors/governor/reading.ts";
import { nextWorkers, type ScalePolicy, type ScaleState } from "#actors/governor/scale.ts";
import { systemClock } from "#runtime/clock.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import type { Log } from "#runtime/observe/log.ts";
import { Presence } from "#runtime/observe/presence.ts";
import { FailureStreak } from "#runtime/observe/streak.ts";
import type { Fleet } from "./fleet.ts";

const ROUND_MS = 500;

export interface AutoscaleOptions {
  readonly bus: Bus;
  readonly log: Log;
  readonly pool: string;
  readonly policy: ScalePolicy;
  readonly fleet: Pick<Fleet, "scaleTo" | "stop">;
  /** Told when the number changes. */
  readonly onChange: (from: number, to: number, drainMs: number) => void;
}

/** Measures for itself, at the leader: it works with and without a governor. */
export async function startAutoscaler(options: AutoscaleOptions): Promise<{ stop(): Promise<void> }> {
  const { bus, log, pool, policy, fleet, onChange } = options;
  const reader = await QueueReader.open(bus, systemClock, pool);
  const meter = new DrainMeter(pool);
  const presence = new Presence(bus, "worker");
  let state: ScaleState = { workers: policy.min, changedAt: systemClock.now() };
  let running: Promise<void> | undefined;
  fleet.scaleTo(state.workers);

  const round = async (): Promise<void> => {
    const drains = meter.take(await reader.read());
    const drainMs = scaleValue(drains);
    const inFlight = drains.reduce((sum, drain) => sum + drain.inFlight, 0);
    const next = nextWorkers(
      state,
      { drainMs, inFlight, slots: slotsOf(presence, pool) },
      systemClock.now(),
      policy,
    );
    const before = state.workers;
    state = next;
    if (next.workers === before) return;
    onChange(before, next.workers, drainMs);
    fleet.scaleTo(next.workers);
  };
  const streak = new FailureStreak(log, "autoscale: a round, which leaves the number of workers,");
  const timer = setInterval(() => {
    running ??= round()
      .then(
        () => streak.ended(),
        (err) => streak.failed(err),
      )
      .finally(() => {
        running = undefined;
      });
  }, ROUND_MS);
  return {
    async stop() {
      clearInterval(timer);
      await running;
      presence.stop();
      reader.close();
      await fleet.stop();
    },
  };
}

/** Jobs that the live workers of the pool may hold at once; those of other machines count. */
const slotsOf = (presence: Presence, pool: string): number =>
  presence
    .live()
    .filter(({ draining, info }) => !draining && String(info.pools).split(",").includes(pool))
    .reduce((sum, { info }) => sum + Number(info.slots), 0);
