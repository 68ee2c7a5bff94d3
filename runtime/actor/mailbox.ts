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

  constructor(limit: number = LIMITS.mailboxMessages) {
    this.#limit = limit;
  }

  /** True when the message is held in memory, false when it was parked. */
  push(delivery: Delivery): boolean {
    if (this.#parked.length === 0 && this.#queue.length < this.#limit) {
      this.#queue.push(delivery);
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
  }

  /** The next messages for one run of the handler: a suspect alone, else up to `most` unsuspicious ones. */
  take(most: number): Delivery[] {
    const first = this.#queue[0];
    if (!first) return [];
    if (first.suspect) return this.#queue.splice(0, 1);
    let count = 1;
    while (count < most && count < this.#queue.length && !this.#queue[count]?.suspect) count++;
    return this.#queue.splice(0, count);
  }

  /** Puts messages that were taken back to the front, in order. */
  putBack(deliveries: readonly Delivery[]): void {
    this.#queue.unshift(...deliveries);
  }

  /** Keeps only the sequences, in order: the actor cannot go on for now. @returns how many were held in memory */
  park(): number {
    const held = this.#queue.splice(0);
    this.#parked.unshift(...held.map(({ seq, suspect, ack }) => ({ seq, suspect, ack })));
    return held.length;
  }

  /** Empties it. @returns how many were held in memory */
  clear(): number {
    this.#parked.length = 0;
    return this.#queue.splice(0).length;
  }
}
