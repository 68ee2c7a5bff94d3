/** What `jetclaw/testing` exports: one actor in memory, without a server, with a clock that the test moves. */
import { ENVELOPE_VERSION, type Envelope } from "#contracts/envelope.ts";
import type { ActorKind, SystemActor } from "#runtime/actor/define.ts";
import { assertSendable } from "#runtime/actor/storable.ts";

/** A message that the actor sent to another one. */
export interface SentMessage {
  readonly kind: string;
  readonly key: string;
  readonly type: string;
  readonly body: unknown;
}

export interface ActorInMemoryOptions {
  readonly key?: string;
  readonly tenant?: string;
  /** A stored state to begin with, and the version it was stored in: upgrades run as they do in production. */
  readonly stored?: { readonly state: unknown; readonly version: number };
  /** Ms since the epoch. Default: 0 */
  readonly now?: number;
}

interface Timer {
  readonly at: number;
  readonly type: string;
  readonly body: unknown;
}

export class ActorInMemory {
  readonly sent: SentMessage[] = [];
  #state: unknown;
  #now: number;
  #messages = 0;
  #timers = new Map<string, Timer>();
  readonly #kind: ActorKind;
  readonly #key: string;
  readonly #tenant: string;

  constructor(kind: ActorKind, options: ActorInMemoryOptions = {}) {
    const { key = "test", tenant = "test", stored, now = 0 } = options;
    this.#kind = kind;
    this.#key = key;
    this.#tenant = tenant;
    this.#now = now;
    this.#state = stored ? kind.upgrade(stored.state, stored.version) : kind.initial();
  }

  get state(): unknown {
    return this.#state;
  }

  /** What `GET /v1/actors/{kind}/{key}` would show. */
  get view(): unknown {
    return this.#kind.view(this.#state);
  }

  /** The names of the timers that have not fired. */
  get timers(): readonly string[] {
    return [...this.#timers.keys()];
  }

  /** Handles one message. Returns what the handler replied; a handler that throws leaves everything as it was. */
  async send(type: string, body: unknown): Promise<unknown> {
    const parsed = this.#kind.parse(type, body);
    const draft = this.#openDraft();
    await this.#kind.run(draft.actor, [this.#envelope(type, parsed)]);
    this.#state = draft.actor.state;
    this.#timers = draft.timers;
    this.sent.push(...draft.sent);
    return draft.replies.at(-1);
  }

  /** Moves the clock on and fires what is due on the way, in order. */
  async advance(ms: number): Promise<void> {
    const until = this.#now + ms;
    for (let due = this.#nextTimer(until); due !== undefined; due = this.#nextTimer(until)) {
      const [name, timer] = due;
      this.#timers.delete(name);
      this.#now = Math.max(this.#now, timer.at);
      await this.send(timer.type, timer.body);
    }
    this.#now = until;
  }

  #nextTimer(until: number): [string, Timer] | undefined {
    return [...this.#timers]
      .filter(([, { at }]) => at <= until)
      .sort(([, one], [, other]) => one.at - other.at)[0];
  }

  #envelope(type: string, body: unknown): Envelope {
    const id = `test-${++this.#messages}`;
    const address = { tenant: this.#tenant, kind: this.#kind.kind, key: this.#key };
    return { v: ENVELOPE_VERSION, id, ...address, type, body, at: this.#now };
  }

  #openDraft() {
    const sent: SentMessage[] = [];
    const replies: unknown[] = [];
    const timers = new Map(this.#timers);
    const now = this.#now;
    const actor: SystemActor<unknown> = {
      kind: this.#kind.kind,
      tenant: this.#tenant,
      key: this.#key,
      now,
      state: structuredClone(this.#state),
      trace: undefined,
      rememberedIds: () => [],
      forgetIds: () => refuse("forgetIds"),
      isScheduled: (timer) => timers.has(timer),
      signal: new AbortController().signal,
      send(kind, key, type, body) {
        assertSendable(body);
        sent.push({ kind, key, type, body });
      },
      schedule(timer, when, type, body) {
        assertSendable(body);
        timers.set(timer, { at: "at" in when ? when.at : now + when.afterMs, type, body });
      },
      cancel: (timer) => void timers.delete(timer),
      reply: (value) => void replies.push(value),
      handling: () => {},
      append: () => refuse("append"),
      emit: () => refuse("emit"),
      purge: () => refuse("purge"),
      forget: () => refuse("forget"),
      afterCommit: () => refuse("afterCommit"),
    };
    return { actor, sent, replies, timers };
  }
}

/** These belong to the product's own kinds, which are tested against a server. */
function refuse(effect: string): never {
  throw new Error(`${effect} has no meaning for an actor in memory`);
}
