/**
 * One socket write for all that one turn of the event loop publishes. nats.js flushes in the microtask after the first
 * publish, so hosts, whose actors go on in microtasks of their own, wrote every message by itself: two system calls and
 * a wake-up of the server each, half of the CPU of both. Here the flush waits until all that is due in this turn has run,
 * timers too: a worker that streams has a timer for each answer, and a write for each chunk was a fifth of its CPU.
 */
import type { NatsConnection } from "@nats-io/transport-node";

/** What is used of the inside of nats.js 3; where a version has it no more, nothing is changed. */
interface Inside {
  readonly protocol?: { flushPending?: () => void; readonly outbound?: { size?: () => number } };
}

/** Beyond this many bytes a flush does not wait: the socket should be busy, not the memory full. */
const WAIT_BELOW_BYTES = 256 * 1024;

export function batchWrites(nc: NatsConnection): void {
  const protocol = (nc as unknown as Inside).protocol;
  const flush = protocol?.flushPending;
  const size = protocol?.outbound?.size;
  if (!protocol || typeof flush !== "function" || typeof size !== "function") return;
  let waiting = false;
  protocol.flushPending = () => {
    if (size.call(protocol.outbound) >= WAIT_BELOW_BYTES) return flush.call(protocol);
    if (waiting) return;
    waiting = true;
    setImmediate(() => {
      waiting = false;
      flush.call(protocol);
    });
  };
}
