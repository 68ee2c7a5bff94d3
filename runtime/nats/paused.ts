/**
 * Nobody in this product pauses a consumer, so one that is paused was paused by mistake, and its messages would wait
 * until somebody notices. Whoever reads it makes it go on.
 */
import { JetStreamApiError } from "@nats-io/jetstream";
import type { Bus, Subscription } from "./connect.ts";

/** All who share a consumer hear of its pause: of those the one that waits the shortest resumes it. */
const LONGEST_WAIT_MS = 1_000;

/** Told by the server when a consumer is paused or resumed; at most once, like everything that is not stored. */
interface PauseAdvisory {
  readonly stream: string;
  readonly consumer: string;
  readonly paused?: boolean;
}

const decoder = new TextDecoder();

/** Calls `paused` for each consumer of this NATS account that is paused from now on. */
export function onPaused(bus: Bus, paused: (stream: string, consumer: string) => void): Subscription {
  return bus.subscribe("$JS.EVENT.ADVISORY.CONSUMER.PAUSE.*.*", ({ data }) => {
    const advisory = JSON.parse(decoder.decode(data)) as PauseAdvisory;
    if (advisory.paused) paused(advisory.stream, advisory.consumer);
  });
}

/** Makes a consumer go on if it is paused; what fails is only said, since the next look repeats it. */
export async function resumeIfPaused(bus: Bus, stream: string, consumer: string): Promise<void> {
  await new Promise((next) => setTimeout(next, Math.random() * LONGEST_WAIT_MS).unref());
  if (!bus.online) return;
  try {
    const { paused } = await bus.jsm.consumers.info(stream, consumer);
    if (!paused) return;
    await bus.jsm.consumers.resume(stream, consumer);
    bus.log.warn({ stream, consumer }, "somebody paused this consumer, it goes on");
  } catch (err) {
    // Gone: whoever reads it hears that by its request.
    if (err instanceof JetStreamApiError) return;
    bus.log.warn({ err, stream, consumer }, "cannot tell whether a consumer is paused");
  }
}
