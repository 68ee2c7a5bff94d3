/**
 * One in-memory incarnation of an actor on one host: load, handle, commit, publish, ack, one message or burst at a time.
 * States: creating -> active -> passivating | closed. README.md draws the path with its failure branches.
 */

import type { Envelope } from "#contracts/envelope.ts";
import { asJetclawError } from "#contracts/errors.ts";
import { LIMITS } from "#contracts/limits.ts";
import type { ActorRoute } from "#contracts/subjects.ts";
import { killPoint } from "../observe/kill-point.ts";
import { metrics } from "../observe/metrics.ts";
import { SpanKind, startSpan } from "../observe/trace.ts";
import { activate, commit, Evicted, type Loaded, type Owned, ownerSince } from "./commit.ts";
import { deadLetter } from "./dead-letter.ts";
import type { ActorKind } from "./define.ts";
import { Draft } from "./draft.ts";
import { attemptsOf, deathsOf, HandlerFailed, recordAfter, timersAfter, verdictOf } from "./handled.ts";
import type { HostContext } from "./host.ts";
import { isUnkept, keepBeside } from "./kept.ts";
import { type Delivery, Mailbox } from "./mailbox.ts";
import { boundPurges, publishOutbox } from "./outbox.ts";
import { readParked } from "./parked.ts";
import type { NextRecord, Tried } from "./record.ts";
import { retrying } from "./retrying.ts";

export type ActivationState = "creating" | "active" | "passivating" | "closed";

const FIRST_RETRY_MS = 20;
/** How long an actor that cannot be loaded waits before it tries again. */
const BLOCKED_MS = 5_000;

export interface ActivationOptions {
  readonly host: HostContext;
  readonly kind: ActorKind;
  readonly route: ActorRoute;
  readonly stream: string;
  readonly owned: Owned;
  /** Called with messages that are held in memory again, and with those that no longer are. */
  readonly onHeld: (deliveries: readonly Delivery[]) => void;
  readonly onReleased: (deliveries: readonly Delivery[]) => void;
  /** Called when the activation has nothing to do. */
  readonly onIdle: (activation: Activation) => void;
}

export class Activation {
  state: ActivationState = "creating";
  readonly route: ActorRoute;
  readonly #options: ActivationOptions;
  readonly #mailbox = new Mailbox();
  #loaded: Loaded | undefined;
  #running = false;
  /** Why it cannot go on, as it was last said. */
  #blockedBy = "";

  constructor(options: ActivationOptions) {
    this.#options = options;
    this.route = options.route;
  }

  get isIdle(): boolean {
    return !this.#running && this.#mailbox.isEmpty;
  }

  /** True where the next activation would have to gather what is kept nowhere. */
  get isUnkept(): boolean {
    return this.#loaded !== undefined && isUnkept(this.#options.kind, this.#loaded);
  }

  /** Takes a message in; true when it is held in memory. */
  deliver(delivery: Delivery): boolean {
    const held = this.#mailbox.push(delivery);
    if (!this.#running) void this.#run();
    return held;
  }

  /** Forgets everything: the actor was passivated, or ownership was lost. */
  close(state: "passivating" | "closed"): void {
    this.state = state;
    this.#loaded = undefined;
    this.#options.onReleased(this.#mailbox.clear());
  }

  /** Keeps what the next activation would have to gather; what comes is handled after it. Without a copy it goes too. */
  async rest(): Promise<void> {
    const { kind, host, route, owned } = this.#options;
    if (!this.isIdle || !this.isUnkept || owned.draining.aborted) return;
    this.#running = true;
    try {
      if (await this.#write(this.#draft([], undefined), {}))
        await keepBeside(host, kind, route, this.#loaded as Loaded);
    } catch (err) {
      host.log.debug({ err }, "nothing kept of an actor at rest");
    }
    void this.#run();
  }

  async #run(): Promise<void> {
    this.#running = true;
    const { owned, host } = this.#options;
    // A drain finishes what is being handled. What only waits is pending for the next owner, who need not wait for it.
    while (!this.#mailbox.isEmpty && !owned.draining.aborted) {
      let batch: Delivery[] = [];
      try {
        this.#loaded ??= await this.#load();
        if (owned.draining.aborted) break;
        if (this.#mailbox.wantsRefill) await this.#refill();
        this.state = "active";
        batch = this.#mailbox.take(this.#options.kind.burst ? LIMITS.burstMessages : 1);
        if (batch.length > 0) await this.#handle(batch);
      } catch (error) {
        if (owned.signal.aborted || error instanceof Evicted) break;
        // Nothing of it is acked; what had been committed is dropped as processed when it is handled again.
        this.#sayBlocked(error);
        this.#loaded = undefined;
        this.#mailbox.putBack(batch);
        batch = [];
        // What waits for code that can read the state must not take the place of its partition's other messages.
        this.#options.onReleased(this.#mailbox.park());
        await host.clock.sleep(BLOCKED_MS, owned.draining).catch(() => {});
      }
      if (batch.length > 0) this.#options.onReleased(batch);
    }
    this.#running = false;
    if (owned.draining.aborted) this.close("closed");
    else this.#options.onIdle(this);
  }

  #sayBlocked(error: unknown): void {
    const { host, kind, route } = this.#options;
    const { message } = asJetclawError(error);
    const level = message === this.#blockedBy ? "debug" : "error";
    this.#blockedBy = message;
    host.log[level]({ err: error, kind: kind.kind, actor: route.path }, "activation failed, trying again");
  }

  async #refill(): Promise<void> {
    const { host, stream, owned } = this.#options;
    const parked = this.#mailbox.nextParked();
    const { read, deliveries } = await readParked(host, stream, parked, owned.signal);
    this.#options.onHeld(deliveries);
    this.#mailbox.refill(read, deliveries);
  }

  #load(): Promise<Loaded> {
    const { host, owned, kind, route, stream } = this.#options;
    return activate(host, kind, route, stream, owned);
  }

  async #handle(batch: readonly Delivery[]): Promise<void> {
    const fresh = this.#freshOf(batch);
    if (fresh.length === 0) return;
    const [first] = fresh;
    if (first?.suspect) {
      // Begun once and never finished: from now on alone on its host, so that nobody else is blamed for a second death.
      const again = attemptsOf((this.#loaded as Loaded).record.attempts, first).length > 0;
      return again
        ? this.#options.host.suspects(() => this.#handleSuspect(first), this.#options.owned.signal)
        : this.#handleSuspect(first);
    }
    await this.#process(fresh);
  }

  /** What is left to handle. Of a client's repeats that wait side by side only the first is, and it acks for all. */
  #freshOf(batch: readonly Delivery[]): Delivery[] {
    const fresh = new Map<string, Delivery>();
    for (const delivery of batch) {
      if (!this.#isFresh(delivery)) continue;
      const { id } = delivery.envelope;
      const same = fresh.get(id);
      fresh.set(id, same ? { ...same, ack: () => [same, delivery].forEach((d) => void d.ack()) } : delivery);
    }
    return [...fresh.values()];
  }

  /** Drops repeats and timers that were replaced or cancelled. */
  #isFresh(delivery: Delivery): boolean {
    const { kind, host } = this.#options;
    const verdict = verdictOf((this.#loaded as Loaded).record, delivery, host.unsafe.ignoreRing);
    if (verdict === "fresh") return true;
    if (verdict === "repeat") {
      metrics.repeats({ kind: kind.kind });
      this.#repeat(delivery.envelope);
    }
    delivery.ack();
    return false;
  }

  #repeat(envelope: Envelope): void {
    const { kind, host } = this.#options;
    if (!kind.repeated && !envelope.replyTo) return;
    const draft = this.#draft([envelope], undefined);
    kind.repeated?.(draft, envelope);
    draft.answerSilent();
    for (const effect of draft.effects)
      if (effect.k === "emit") host.bus.publish(effect.subject, effect.data as Uint8Array);
  }

  /** A message that was pending at a takeover: its attempt is written first, so one that kills hosts is found out. */
  async #handleSuspect(delivery: Delivery): Promise<void> {
    const { id } = delivery.envelope;
    const { clock, instance, unsafe } = this.#options.host;
    for (;;) {
      const { record } = this.#loaded as Loaded;
      const tried = attemptsOf(record.attempts, delivery);
      // The owner that it was pending with may have died of it too, and wrote nothing down.
      const deaths = deathsOf(tried, instance);
      if (deaths + 1 >= LIMITS.handlerAttempts && !unsafe.ignoreAttempts)
        return this.#poison(
          delivery,
          new HandlerFailed(new Error(`begun ${deaths + 1} times, never finished`)),
        );
      const attempts = { ...record.attempts, [id]: [...tried, { at: clock.now(), host: instance }] };
      if (await this.#write(this.#draft([], undefined), { attempts }, LIMITS.recordBytes)) break;
      // The owner before us still wrote after we had loaded: it may have been this very message.
      if (!this.#isFresh(delivery)) return;
    }
    await this.#process([delivery]);
  }

  #draft(burst: readonly Envelope[], trace: Envelope["trace"]): Draft {
    const { host, kind, route, owned } = this.#options;
    const { record, revision } = this.#loaded as Loaded;
    return new Draft({
      route,
      shards: host.deployment.shards,
      state: kind.persistent || burst.length === 0 ? record.state : structuredClone(record.state),
      revision,
      now: host.clock.now(),
      timers: record.timers,
      processed: record.processed,
      trace,
      signal: owned.signal,
      burst,
    });
  }

  async #process(deliveries: readonly Delivery[]): Promise<void> {
    const { kind, host } = this.#options;
    const first = (deliveries[0] as Delivery).envelope;
    const span = startSpan(`process ${kind.kind}`, {
      parent: first.trace,
      kind: SpanKind.CONSUMER,
      attributes: {
        "messaging.system": "nats",
        "messaging.operation.type": "process",
        "messaging.batch.message_count": deliveries.length,
        "jetclaw.message": first.type,
      },
      links: deliveries.slice(1).map((d) => d.envelope.trace),
    });
    try {
      await this.#attempts(deliveries, span.context);
      span.end();
    } catch (error) {
      span.end(error);
      if (error instanceof Evicted || this.#options.owned.signal.aborted) throw error;
      if (!(error instanceof HandlerFailed)) throw error;
      // One message of a burst may spoil it for the others: they are run one by one, in order.
      if (deliveries.length > 1) for (const delivery of deliveries) await this.#process([delivery]);
      else await this.#poison(deliveries[0] as Delivery, error);
    }
    host.touch(this);
  }

  /** Runs the handler until it succeeds and is committed, at most the allowed attempts. */
  async #attempts(deliveries: readonly Delivery[], trace: Envelope["trace"]): Promise<void> {
    const { kind, host, owned } = this.#options;
    const burst = deliveries.map((d) => d.envelope);
    let waitMs = FIRST_RETRY_MS;
    const tried: Tried[] = [];
    for (let attempt = 1; ; attempt++) {
      let draft: Draft;
      try {
        draft = await this.#handled(burst, trace);
      } catch (error) {
        owned.signal.throwIfAborted();
        metrics.handlerFailures({ kind: kind.kind });
        const { retry, code, message } = asJetclawError(error);
        const permanent = retry === "never" && code !== "internal.bug";
        tried.push({ at: host.clock.now(), host: host.instance, error: message });
        const isLast = attempt >= LIMITS.handlerAttempts && !host.unsafe.ignoreAttempts;
        if (permanent || isLast || deliveries.length > 1) throw new HandlerFailed(error, tried);
        host.log.warn({ err: error, kind: kind.kind, attempt }, "handler failed, trying again");
        await host.clock.sleep(waitMs, owned.signal);
        waitMs *= 4;
        continue;
      }
      const paused = killPoint("host.afterHandler");
      if (paused) await paused;
      if (await this.#commitAndFinish(draft, deliveries)) return;
      // Somebody else wrote although we own the actor: what they processed is dropped, the rest runs again.
      const rest = deliveries.filter((d) => this.#isFresh(d));
      if (rest.length === 0) return;
      if (rest.length < deliveries.length) return this.#attempts(rest, trace);
    }
  }

  /** What the handler wants. A want of NATS says nothing of its messages: it is waited out, and is no attempt. */
  #handled(burst: readonly Envelope[], trace: Envelope["trace"]): Promise<Draft> {
    const { host, kind, owned } = this.#options;
    return retrying(host.log, owned.signal, "handle a message", async () => {
      const draft = this.#draft(burst, trace);
      const messages = burst.map((m) => ({ ...m, body: kind.parse(m.type, m.body) }));
      await kind.run(draft, messages);
      return draft;
    });
  }

  /** False when the record had changed under us and was loaded again. */
  async #commitAndFinish(draft: Draft, deliveries: readonly Delivery[], givesUp = false): Promise<boolean> {
    const { host, owned, kind } = this.#options;
    draft.answerSilent();
    draft.timers = timersAfter(draft.timers, deliveries);
    if (draft.effects.some(({ k }) => k === "purge"))
      await boundPurges(host.bus, draft.effects, owned.signal);
    const { record } = this.#loaded as Loaded;
    const next = recordAfter(record, deliveries, { kind, draft, givesUp });
    const stillOwner = ownerSince(host, owned, host.clock.now());
    if (!(await this.#write(draft, next, givesUp ? LIMITS.recordBytes : undefined))) return false;
    let paused = killPoint("host.afterCommit");
    if (paused) await paused;
    const { outbox } = (this.#loaded as Loaded).record;
    const { signal } = owned;
    if (outbox.length > 0)
      await publishOutbox(host.bus, outbox, { signal, stillOwner, stored: draft.stored });
    (this.#loaded as Loaded).record.outbox = [];
    paused = killPoint("host.afterPublish");
    if (paused) await paused;
    for (const task of draft.tasks) task();
    paused = killPoint("host.beforeAck");
    if (paused) await paused;
    // The sequence that the outbox belongs to is acked last: its absence then means that everything was published.
    for (const delivery of deliveries) delivery.ack();
    paused = killPoint("host.afterAck");
    if (paused) await paused;
    return true;
  }

  /** One compare-and-set. False: stale, loaded again. @throws Evicted when another host took over */
  async #write(draft: Draft, next: Partial<NextRecord>, mostBytes?: number): Promise<boolean> {
    const { host, kind, route, owned } = this.#options;
    const { record } = this.#loaded as Loaded;
    const whole = {
      op: host.nextOperation(),
      state: draft.state,
      ...(kind.store ? { stored: kind.store(draft.state) } : {}),
      stateVersion: kind.version,
      processed: record.processed,
      newlyProcessed: [],
      outbox: record.outbox.length > 0 ? [...record.outbox, ...draft.effects] : draft.effects,
      seq: record.seq,
      timers: draft.timers,
      attempts: record.attempts,
      givenUp: record.givenUp,
      floor: record.floor,
      ...(kind.lifetimeMs ? { ttlMs: kind.lifetimeMs(draft.state, draft.now) } : {}),
      ...next,
    };
    const outcome = await commit(host, route, this.#loaded as Loaded, owned, whole, mostBytes);
    metrics.commits({ kind: kind.kind, result: outcome });
    if (outcome === "committed") return true;
    if (outcome === "lost") {
      owned.lost("another host wrote the state");
      throw new Evicted();
    }
    this.#loaded = await this.#load();
    return false;
  }

  /** Gives a message up: kept as a dead letter, remembered as given up, the session goes on. */
  async #poison(delivery: Delivery, { cause, tried }: HandlerFailed): Promise<void> {
    const { host, kind, route, stream, owned } = this.#options;
    const { envelope } = delivery;
    const attempts = [...attemptsOf((this.#loaded as Loaded).record.attempts, delivery), ...tried];
    const reference = await deadLetter(host.bus, {
      stream,
      route,
      envelope,
      cause,
      attempts,
      at: host.clock.now(),
      signal: owned.signal,
    });
    host.log.error({ err: cause, kind: kind.kind, reference }, "message given up, kept as a dead letter");
    for (;;) {
      const draft = this.#draft([envelope], envelope.trace);
      draft.handling(envelope);
      if (kind.poisoned) kind.poisoned(draft, envelope, reference);
      else draft.reply({ error: "actor.handler-failed", reference });
      if (await this.#commitAndFinish(draft, [delivery], true)) break;
      if (!this.#isFresh(delivery)) break;
    }
  }
}
