/** Load on a side: a closed loop with a number of turns in flight, or turns at a steady rate. */
import { quantile, round } from "./shape.ts";
import type { Side } from "./side.ts";

export interface Measured {
  readonly turns: number;
  readonly turnsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** A turn that takes longer than this is lost, and a benchmark that loses turns has no figures. */
const LOST_MS = 30_000;

export async function closedLoop(side: Side, inFlight: number, seconds: number): Promise<Measured> {
  const times: number[] = [];
  const from = performance.now();
  const until = from + seconds * 1_000;
  const loop = async (): Promise<void> => {
    while (performance.now() < until) {
      const startedAt = performance.now();
      await side.turn();
      const endedAt = performance.now();
      // What ends after the window took part in the load, not in the figure.
      if (endedAt <= until) times.push(endedAt - startedAt);
    }
  };
  await withoutLoss(side, Promise.all(Array.from({ length: inFlight }, loop)), seconds);
  return measuredOf(times, seconds);
}

/** Starts turns at a steady rate whether or not earlier ones have ended, as people do. */
export async function steadyRate(side: Side, perSecond: number, seconds: number): Promise<Measured> {
  const times: number[] = [];
  const running = new Set<Promise<void>>();
  const from = performance.now();
  let started = 0;
  for (let now = from; now < from + seconds * 1_000; now = performance.now()) {
    while (started < ((now - from) / 1_000) * perSecond) {
      const dueAt = from + (started++ / perSecond) * 1_000;
      // From when it was due: a loop that is late must not hide the wait.
      const turn = side.turn().then(() => {
        times.push(performance.now() - dueAt);
        running.delete(turn);
      });
      running.add(turn);
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await withoutLoss(side, Promise.all(running), 0);
  return measuredOf(times, seconds);
}

async function withoutLoss(side: Side, work: Promise<unknown>, seconds: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const lost = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`${side.name}: turns were not answered within ${LOST_MS / 1_000} s`)),
      seconds * 1_000 + LOST_MS,
    );
  });
  try {
    await Promise.race([work, lost]);
  } finally {
    clearTimeout(timer);
  }
}

const measuredOf = (times: readonly number[], seconds: number): Measured => ({
  turns: times.length,
  turnsPerSecond: round(times.length / seconds, 1),
  p50Ms: round(quantile(times, 0.5)),
  p99Ms: round(quantile(times, 0.99)),
});
