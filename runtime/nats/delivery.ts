/** A message as a consumer delivers it, with the answers that it wants. */
import type { Msg } from "@nats-io/transport-node";
import { nakOf, WORKING } from "./pull-words.ts";

export interface Pulled {
  readonly subject: string;
  readonly data: Uint8Array;
  /** Sequence in the stream. */
  readonly seq: number;
  /** How often this consumer delivered it; a recreated consumer starts at 1 again. */
  readonly deliveries: number;
  /** Messages of the consumer that wait behind it for their first delivery. */
  readonly pending: number;
  /** When the stream stored it, ms since the epoch. */
  readonly storedAt: number;
  /** The consumer's own count of deliveries: without holes, unless one was lost. */
  readonly delivery: number;
  /** What a bucket did with the key, where it is not a plain value: `DEL`, `PURGE`, a marker's reason. */
  operation(): string;
  /** Done. Fire and forget: a lost acknowledgement is a redelivery. May be kept alone: it holds no body. */
  readonly ack: () => void;
  /** Still working: starts the ack wait anew. */
  working(): void;
  /** Give it back at once or after a delay. */
  nak(delayMs?: number): void;
}

/** Statuses have a code and no stream metadata; a stored message that carries headers has an ack subject. */
export function isStatus(message: Msg): boolean {
  return !message.reply?.startsWith("$JS.ACK.");
}

/** Source: ADR-15 and ADR-31, the ack subject in its 9 and 12 token forms. */
export class Delivery implements Pulled {
  readonly deliveries: number;
  readonly seq: number;
  readonly delivery: number;
  readonly storedAt: number;
  readonly pending: number;
  readonly ack: () => void;
  readonly #message: Msg;
  readonly #answer: (reply: string, body: Uint8Array) => void;

  constructor(message: Msg, ack: () => void, answer: (reply: string, body: Uint8Array) => void) {
    const parts = (message.reply ?? "").split(".");
    const offset = parts.length >= 11 ? 4 : 2;
    this.deliveries = Number(parts[offset + 2]);
    this.seq = Number(parts[offset + 3]);
    this.delivery = Number(parts[offset + 4]);
    // Nanoseconds are more than a number holds exactly.
    this.storedAt = Number(parts[offset + 5]?.slice(0, -6));
    this.pending = Number(parts[offset + 6]);
    this.ack = ack;
    this.#message = message;
    this.#answer = answer;
  }

  // Subject and headers are decoded when they are asked for, which many readers never do.
  get subject(): string {
    return this.#message.subject;
  }

  get data(): Uint8Array {
    return this.#message.data;
  }

  operation(): string {
    const { headers } = this.#message;
    return headers?.get("KV-Operation") || headers?.get("Nats-Marker-Reason") || "";
  }

  working(): void {
    this.#answer(this.#message.reply ?? "", WORKING);
  }

  nak(delayMs?: number): void {
    this.#answer(this.#message.reply ?? "", nakOf(delayMs));
  }
}
