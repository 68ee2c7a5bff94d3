/** Reads a pool's queue at its leader: followers lag, and a lagging figure scales the wrong way. */
import { CLASSES, inferLaneFilter, inferStream, type PriorityClass } from "#contracts/subjects.ts";
import type { Clock } from "#runtime/clock.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { nextMessage, streamState } from "#runtime/nats/reader.ts";
import { type LaneDepth, WorkQueue } from "#runtime/nats/work-queue.ts";
import type { ClassReading, QueueReading } from "./drain.ts";

export class QueueReader {
  readonly pool: string;
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #queue: WorkQueue;

  private constructor(bus: Bus, clock: Clock, queue: WorkQueue) {
    this.pool = queue.pool;
    this.#bus = bus;
    this.#clock = clock;
    this.#queue = queue;
  }

  /** @throws JetclawError `nats.unavailable`, also where the pool's stream was never made */
  static async open(bus: Bus, clock: Clock, pool: string): Promise<QueueReader> {
    return new QueueReader(bus, clock, await WorkQueue.open(bus, pool));
  }

  /** @throws JetclawError `nats.unavailable` */
  async read(): Promise<QueueReading> {
    const [lanes, { lastSeq, messages }] = await Promise.all([
      this.#queue.depth(),
      streamState(this.#bus, inferStream(this.pool)),
    ]);
    const ages = await Promise.all(lanes.map((lane) => this.#oldestMs(lane)));
    const classOf = (cls: PriorityClass): ClassReading => {
      const of = lanes.flatMap((lane, n) => (lane.cls === cls ? [{ ...lane, oldestMs: ages[n] ?? 0 }] : []));
      const sum = (key: "waiting" | "inFlight" | "settled"): number =>
        of.reduce((s, lane) => s + lane[key], 0);
      return {
        waiting: sum("waiting"),
        inFlight: sum("inFlight"),
        settled: sum("settled"),
        oldestMs: Math.max(...of.map(({ oldestMs }) => oldestMs)),
      };
    };
    const classes = Object.fromEntries(CLASSES.map((cls) => [cls, classOf(cls)])) as Record<
      PriorityClass,
      ClassReading
    >;
    return { at: this.#clock.now(), removed: lastSeq - messages, classes };
  }

  /** The stream holds running jobs too: the first waiting one is behind the newest that was delivered. */
  async #oldestMs({ cls, lane, waiting, deliveredSeq }: LaneDepth): Promise<number> {
    if (waiting === 0) return 0;
    const filter = inferLaneFilter(this.pool, cls, lane);
    const oldest = await nextMessage(this.#bus, inferStream(this.pool), filter, deliveredSeq + 1);
    return oldest ? Math.max(0, this.#clock.now() - oldest.at) : 0;
  }

  close(): void {
    this.#queue.close();
  }
}
