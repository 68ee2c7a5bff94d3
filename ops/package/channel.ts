/** What `jetclaw/channel` exports: the kit from which an adapter between a channel and conversations is made. */
import type { Part } from "#contracts/content.ts";

export type { Part } from "#contracts/content.ts";

/** A message as the channel received it. */
export interface ChannelMessage {
  /** Idempotency key: a message published twice under one id is answered once. */
  readonly id: string;
  readonly session: string;
  readonly parts: readonly Part[];
  readonly locale?: string;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** A reply to deliver. `id` is the same for a repeat of the delivery. */
export interface Delivery {
  readonly id: string;
  readonly session: string;
  readonly turn: number;
  /** The small Markdown subset that replies are written in. */
  readonly markdown: string;
}

export interface ReceiveContext {
  /** Resolves when the message can no longer be lost; only then tell the channel that it arrived. */
  publish(message: ChannelMessage): Promise<void>;
  /** Aborted when the process drains. */
  readonly signal: AbortSignal;
}

export interface Channel {
  /** Names it in records and priorities; unique in a deployment. */
  readonly name: string;
  readonly capabilities?: {
    /** Longer replies are split. */
    readonly maxText?: number;
  };
  receive?(context: ReceiveContext): Promise<AsyncDisposable>;
  /** Throw `Retry` to be asked again; anything else counts as undeliverable. */
  deliver(delivery: Delivery): Promise<unknown>;
}

export const defineChannel = (channel: Channel): Channel => channel;

/** Not delivered now, worth another try. */
export class Retry extends Error {
  readonly afterMs: number;

  constructor(reason: string, options: { readonly afterMs: number }) {
    super(reason);
    this.name = "Retry";
    this.afterMs = options.afterMs;
  }
}
