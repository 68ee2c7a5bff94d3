/**
 * An activation's bounded in-memory queue. Beyond the bound messages are parked: only their sequence stays in memory,
 * the body is read from the stream again, so a flooded actor neither grows the host nor stops its partition.
 */
import type { Envelope } from "#contracts/envelope.ts";
import { LIMITS } from "#contracts/limits.ts";

export interface Delivery {
  readonly envelope: Envelope;
  /** Sequence in INBOUND. */
  readonly seq: number;
  /** Of its envelope, encoded. */
  readonly bytes: number;
  /** It was pending when its partition changed hands: it may be what killed the host. */
  readonly suspect: boolean;
  ack(): void;
}

export interface ParkedDelivery {
  readonly seq: number;
  readonly suspect: boolean;
  ack(): void;
}

export class Mailbox {
  readonly #queue: Delivery[] = [];
  readonly #parked: ParkedDelivery[] = [];
  readonly #limit: number;
  #bytes = 0;

  constructor(limit: number = LIMITS.mailboxMessages) {
    this.#limit = limit;
  }

  /** True when the message is held in memory, false when it was parked. */
  push(delivery: Delivery): boolean {
    if (this.#parked.length === 0 && this.#hasRoom(delivery)) {
      this.#queue.push(delivery);
      this.#bytes += delivery.bytes;
      return true;
    }
    this.#parked.push({ seq: delivery.seq, suspect: delivery.suspect, ack: delivery.ack });
    return false;
  }

  get isEmpty(): boolean {
    return this.#queue.length === 0 && this.#parked.length === 0;
  }

  /** Messages in memory. */
  get length(): number {
    return this.#queue.length;
  }

  /** True when parked messages should be read back. */
  get wantsRefill(): boolean {
    return this.#queue.length === 0 && this.#parked.length > 0;
  }

  /** The parked messages to read back next, in order. They stay parked until then: what comes meanwhile is parked behind. */
  nextParked(): readonly ParkedDelivery[] {
    return this.#parked.slice(0, this.#limit);
  }

  /** Puts what was read back in the place of the first so many that were parked. */
  refill(read: number, deliveries: readonly Delivery[]): void {
    this.#parked.splice(0, read);
    this.#queue.push(...deliveries);
    this.#bytes += bytesOf(deliveries);
  }

  /** The next messages for one run of the handler: a suspect alone, else up to `most` unsuspicious ones. */
  take(most: number): Delivery[] {
    const first = this.#queue[0];
    if (!first) return [];
    if (first.suspect) return this.#leave(1);
    let count = 1;
    while (count < most && count < this.#queue.length && !this.#queue[count]?.suspect) count++;
    return this.#leave(count);
  }

  /** Puts messages that were taken back to the front, in order. */
  putBack(deliveries: readonly Delivery[]): void {
    this.#queue.unshift(...deliveries);
    this.#bytes += bytesOf(deliveries);
  }

  /** Keeps only the sequences, in order: the actor cannot go on for now. @returns what was held in memory */
  park(): readonly Delivery[] {
    const held = this.#leave(this.#queue.length);
    this.#parked.unshift(...held.map(({ seq, suspect, ack }) => ({ seq, suspect, ack })));
    return held;
  }

  /** Empties it. @returns what was held in memory */
  clear(): readonly Delivery[] {
    this.#parked.length = 0;
    return this.#leave(this.#queue.length);
  }

  #hasRoom({ bytes }: Delivery): boolean {
    const { length } = this.#queue;
    return length === 0 || (length < this.#limit && this.#bytes + bytes <= LIMITS.mailboxBytes);
  }

  #leave(count: number): Delivery[] {
    const left = this.#queue.splice(0, count);
    this.#bytes -= bytesOf(left);
    return left;
  }
}

export const bytesOf = (deliveries: readonly Delivery[]): number =>
  deliveries.reduce((sum, { bytes }) => sum + bytes, 0);
