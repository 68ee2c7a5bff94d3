/** What pull requests and acknowledgements say, and how one takes the other along. Source: ADR-13, ADR-15. */
import type { Bus } from "./connect.ts";

const encoder = new TextEncoder();
export const ACK = encoder.encode("+ACK");
export const WORKING = encoder.encode("+WPI");
/** Begins an acknowledgement that asks for more in the same breath. */
const NEXT = "+NXT ";

/**
 * Acknowledgements of one consumer that wait until this turn of the event loop is over: a request that is made meanwhile
 * takes one along, and the server has one message less to look at.
 */
export class HeldAcks {
  readonly #bus: Bus;
  readonly #held: string[] = [];

  constructor(bus: Bus) {
    this.#bus = bus;
  }

  hold(reply: string): void {
    if (this.#held.push(reply) === 1) this.#bus.writes.before(this.#flush);
  }

  take(): string | undefined {
    return this.#held.pop();
  }

  readonly #flush = (): void => {
    for (let reply = this.#held.pop(); reply !== undefined; reply = this.#held.pop())
      if (this.#bus.connected) this.#bus.nc.publish(reply, ACK);
  };
}

export const nakOf = (delayMs: number | undefined): Uint8Array =>
  encoder.encode(delayMs === undefined ? "-NAK" : `-NAK ${JSON.stringify({ delay: delayMs * 1e6 })}`);

/** Bodies of requests, by what they ask for: a queue asks the same thing again and again. */
const bodies = new Map<number | string, Uint8Array>();
/** Far more than there are kinds of requests. */
const BODIES = 1_024;
/** Requests for fewer are known by a number, which is made faster than a text. */
const USUAL_BATCH = 1_024;

export interface Wanted {
  readonly batch: number;
  readonly maxBytes?: number | undefined;
  readonly expiresMs?: number | undefined;
  readonly heartbeatMs?: number | undefined;
}

/** The body of a request, alone or in an acknowledgement. */
export function bodyOf({ batch, maxBytes, expiresMs, heartbeatMs }: Wanted, withAck: boolean): Uint8Array {
  const key =
    heartbeatMs === undefined && maxBytes === undefined && batch < USUAL_BATCH
      ? (((expiresMs ?? -1) + 1) * USUAL_BATCH + batch) * 2 + Number(withAck)
      : `${batch} ${maxBytes} ${expiresMs} ${heartbeatMs} ${withAck}`;
  const known = bodies.get(key);
  if (known) return known;
  const body = JSON.stringify({
    batch,
    ...(maxBytes === undefined ? {} : { max_bytes: maxBytes }),
    ...(expiresMs === undefined ? { no_wait: true } : { expires: expiresMs * 1e6 }),
    ...(heartbeatMs === undefined ? {} : { idle_heartbeat: heartbeatMs * 1e6 }),
  });
  const bytes = encoder.encode(withAck ? NEXT + body : body);
  if (bodies.size >= BODIES) bodies.clear();
  bodies.set(key, bytes);
  return bytes;
}
