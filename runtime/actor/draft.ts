/** What a handler writes into: a draft of the state and the effects it records, ids already stable. */
import { encode } from "#contracts/codec.ts";
import { ENVELOPE_VERSION, type Envelope, encodeEnvelope, type TraceContext } from "#contracts/envelope.ts";
import { JetclawError } from "#contracts/errors.ts";
import { shardOf } from "#contracts/ids.ts";
import { LIMITS } from "#contracts/limits.ts";
import {
  type ActorRoute,
  inboundStream,
  inboundSubject,
  routeOf,
  timerSubject,
} from "#contracts/subjects.ts";
import type { SystemActor } from "./define.ts";
import type { ProcessedIds, StoredEffect } from "./record.ts";
import { assertSendable } from "./storable.ts";

/** Of the timers that one run schedules: those of the next revision follow. */
const GENERATIONS = 1_000;

export interface DraftOptions {
  readonly route: ActorRoute;
  readonly shards: number;
  readonly state: unknown;
  readonly revision: number;
  readonly now: number;
  readonly timers: Readonly<Record<string, number>>;
  readonly processed?: ProcessedIds;
  readonly trace: TraceContext | undefined;
  readonly signal: AbortSignal;
  /** The messages being handled; the last one with a waiting caller gets the replies. */
  readonly burst: readonly Envelope[];
}

export class Draft implements SystemActor<unknown> {
  state: unknown;
  readonly now: number;
  readonly trace: TraceContext | undefined;
  readonly signal: AbortSignal;
  readonly effects: StoredEffect[] = [];
  readonly tasks: (() => void)[] = [];
  /** Who wants to know where an effect was stored, by its id. */
  readonly stored = new Map<string, (seq: number) => void>();
  timers: Record<string, number>;
  /** Id of the message with which the actor forgot; undefined when it did not. */
  forgotUpTo: string | undefined;
  /** How many ids it keeps; undefined when it did not forget any. */
  keepsIds: number | undefined;
  readonly #options: DraftOptions;
  #counter = 0;
  #current: Envelope | undefined;
  readonly #replied = new Set<string>();

  constructor(options: DraftOptions) {
    this.#options = options;
    this.state = options.state;
    this.now = options.now;
    this.trace = options.trace;
    this.signal = options.signal;
    this.timers = options.timers as Record<string, number>;
  }

  rememberedIds(): readonly string[] {
    return this.#options.processed?.ids ?? [];
  }

  forgetIds(keep = 0): void {
    this.keepsIds = keep;
  }

  isScheduled(timer: string): boolean {
    return Object.hasOwn(this.timers, timer);
  }

  get kind(): string {
    return this.#options.route.kind;
  }
  get tenant(): string {
    return this.#options.route.tenant;
  }
  get key(): string {
    return this.#options.route.key;
  }

  #id(): string {
    return `${this.#options.route.path}.${this.#options.revision}.${this.#counter++}`;
  }

  #envelope(id: string, to: { kind: string; key: string }, type: string, body: unknown): Envelope {
    assertSendable(body);
    const causation = this.#options.burst[0]?.id;
    return {
      v: ENVELOPE_VERSION,
      id,
      tenant: this.tenant,
      kind: to.kind,
      key: to.key,
      type,
      body,
      at: this.now,
      ...(causation ? { causation } : {}),
      ...(this.trace ? { trace: this.trace } : {}),
    };
  }

  send(kind: string, key: string, type: string, body: unknown): void {
    const id = this.#id();
    const envelope = this.#envelope(id, { kind, key }, type, body);
    this.effects.push({
      id,
      k: "append",
      subject: inboundSubject(routeOf(envelope)),
      data: fitting(encodeEnvelope(envelope)),
    });
  }

  schedule(
    timer: string,
    when: { readonly afterMs: number } | { readonly at: number },
    type: string,
    body: unknown,
  ): void {
    const { route, revision } = this.#options;
    const at = timeOf("at" in when ? when.at : this.now + when.afterMs);
    const id = this.#id();
    // No other run over another revision gives the same one, however many effects there are.
    const generation = revision * GENERATIONS + (this.#counter % GENERATIONS);
    this.timers = { ...this.timers, [timer]: generation };
    const envelope: Envelope = {
      ...this.#envelope(id, route, type, body),
      timer: { name: timer, generation },
    };
    this.effects.push({
      id,
      k: "schedule",
      subject: timerSubject(route, timer),
      data: fitting(encodeEnvelope(envelope)),
      at,
      target: inboundSubject(route),
    });
  }

  cancel(timer: string): void {
    if (!Object.hasOwn(this.timers, timer)) return;
    const { [timer]: _, ...rest } = this.timers;
    this.timers = rest;
    const { route, shards } = this.#options;
    this.purge(inboundStream(shardOf(route.partition, shards)), timerSubject(route, timer));
  }

  forget(): void {
    this.timers = {};
    this.forgotUpTo = (this.#current ?? this.#options.burst[0])?.id;
  }

  handling(message: Envelope): void {
    this.#current = message;
  }

  reply(value: unknown): void {
    const current = this.#current ?? this.#options.burst[0];
    if (!current?.replyTo) return;
    this.#replied.add(current.replyTo);
    this.emit(current.replyTo, { value: value ?? null });
  }

  /** Callers whose message was processed without a reply are told so, and do not wait in vain. */
  answerSilent(): void {
    for (const { replyTo } of this.#options.burst)
      if (replyTo && !this.#replied.has(replyTo)) this.emit(replyTo, {});
  }

  append(subject: string, body: (id: string) => unknown, onStored?: (seq: number) => void): string {
    const id = this.#id();
    if (onStored) this.stored.set(id, onStored);
    this.effects.push({ id, k: "append", subject, data: fitting(encode(body(id))) });
    return id;
  }

  emit(subject: string, body: unknown): void {
    this.effects.push({ id: this.#id(), k: "emit", subject, data: fitting(encode(body)) });
  }

  purge(stream: string, filter: string): void {
    this.effects.push({ id: this.#id(), k: "purge", subject: filter, stream });
  }

  afterCommit(task: () => void): void {
    this.tasks.push(task);
  }
}

/** What is long past is due at once. A time that no stream can keep must fail its handler, as what is too large does. */
function timeOf(at: number): number {
  if (at <= LIMITS.timerLatestAt) return Math.max(0, at);
  throw new JetclawError("request.invalid", `a timer's time is a date before 2262, not ${at}`);
}

/** An effect that NATS would refuse must fail its handler: after the commit it could never be published. */
function fitting(data: Uint8Array): Uint8Array {
  if (data.length > LIMITS.envelopeBytes)
    throw new JetclawError(
      "nats.too-large",
      `an effect of ${data.length} bytes, at most ${LIMITS.envelopeBytes}`,
    );
  return data;
}
