/**
 * Pings go with the other periodic work of a process. nats.js sends them on a clock of its own, so each was a wake-up, and
 * its answer another one: together a third of those of a worker that waits for jobs.
 */
import type { NatsConnection } from "@nats-io/transport-node";
import { untilPulse } from "../pulse.ts";

/** What is used of the inside of nats.js 3; where a version has it no more, nothing is changed. */
interface Inside {
  readonly protocol?: {
    /** Read before each ping: how long it is until then. */
    readonly heartbeats?: { interval?: number };
  };
}

/** To be called once, when the connection stands. */
export function pingOnPulse(nc: NatsConnection, everyMs: number): void {
  const heartbeats = (nc as unknown as Inside).protocol?.heartbeats;
  if (heartbeats?.interval !== everyMs) return;
  Object.defineProperty(heartbeats, "interval", { get: () => untilPulse(everyMs) });
}
