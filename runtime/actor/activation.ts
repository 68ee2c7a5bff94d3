/**
 * One in-memory incarnation of an actor on one host: load, handle, commit, publish, ack, one message or burst at a time.
 * States: creating -> active -> passivating | closed. README.md draws the path with its failure branches.
 */

import { decodeEnvelope, type Envelope } from "#contracts/envelope.ts";
import { asJetclawError, JetclawError } from "#contracts/errors.ts";
import { LIMITS } from "#contracts/limits.ts";
import type { ActorRoute } from "#contracts/subjects.ts";
import { messageAt } from "../nats/reader.ts";
import { killPoint } from "../observe/kill-point.ts";
import { metrics } from "../observe/metrics.ts";
import { SpanKind, startSpan } from "../observe/trace.ts";
import { commit, type Loaded, load, type Owned } from "./commit.ts";
import { deadLetter } from "./dead-letter.ts";
import type { ActorKind } from "./define.ts";
import { Draft } from "./draft.ts";
import { attemptsAfter, attemptsOf, timersAfter } from "./handled.ts";
import type { HostContext } from "./host.ts";
import { type Delivery, Mailbox } from "./mailbox.ts";
import { publishOutbox } from "./outbox.ts";
import type { NextRecord } from "./record.ts";
import { retrying } from "./retrying.ts";

export type ActivationState = "creating" | "active" | "passivating" | "closed";

/** Ownership was lost while working: stop at once, write nothing, ack nothing. */
class Evicted extends Error {}

const FIRST_RETRY_MS = 20;
/** How long an actor that cannot be loaded waits before it tries again. */
const BLOCKED_MS = 5_000;

export interface ActivationOptions {
  readonly host: HostContext;
  readonly kind: ActorKind;
  readonly route: ActorRoute;
  readonly stream: string;
  readonly owned: Owned;
  /** Called with the number of messages no longer held in memory. */
  readonly onReleased: (count: number) => void;
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

  constructor(options: ActivationOptions) {
    this.#options = options;
    this.route = options.route;
  }

  get isIdle(): boolean {
    return !this.#running && this.#mailbox.isEmpty;
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

  async #run(): Promise<void> {
    this.#running = true;
    const { owned, host } = this.#options;
    // A drain finishes what is being handled. What only waits is pending for the next owner, who need not wait for it.
    while (!this.#mailbox.isEmpty && !owned.draining.aborted) {
      let batch: Delivery[] = [];
      try {
        if (this.#mailbox.wantsRefill) await this.#refill();
        this.#loaded ??= await this.#load();
        if (owned.draining.aborted) break;
        this.state = "active";
        batch = this.#mailbox.take(this.#options.kind.burst ? LIMITS.burstMessages : 1);
        if (batch.length > 0) await this.#handle(batch);
      } catch (error) {
        if (owned.signal.aborted || error instanceof Evicted) break;
        // Nothing of it is acked; what had been committed is dropped as processed when it is handled again.
        host.log.error({ err: error, kind: this.#options.kind.kind }, "activation failed, loading it again");
        this.#loaded = undefined;
        this.#mailbox.putBack(batch);
        batch = [];
        await host.clock.sleep(BLOCKED_MS, owned.draining).catch(() => {});
      }
      if (batch.length > 0) this.#options.onReleased(batch.length);
    }
    this.#running = false;
    if (owned.draining.aborted) this.close("closed");
    else this.#options.onIdle(this);
  }

  async #refill(): Promise<void> {
    const { host, stream, owned } = this.#options;
    const deliveries: Delivery[] = [];
    for (const parked of this.#mailbox.unpark()) {
      const message = await retrying(host.log, owned.signal, "read a parked message", () =>
        messageAt(host.bus, stream, parked.seq),
      );
      if (message)
        deliveries.push({ ...parked, ack: () => parked.ack(), envelope: decodeEnvelope(message.data) });
    }
    this.#options.onReleased(-deliveries.length);
    this.#mailbox.refill(deliveries);
  }

  /** Loads the record and publishes its stored outbox before anything else may happen. */
  async #load(): Promise<Loaded> {
    const { host, owned, kind, route, stream } = this.#options;
    const loaded = await load(host, kind, route, owned.signal);
    const paused = killPoint("host.afterLoad");
    if (paused) await paused;
    const { record } = loaded;
    if (record.outbox.length > 0 && !host.unsafe.dropOutbox) {
      // Acknowledged means published; only the leader may be asked, a follower can be behind.
      const pending = await retrying(host.log, owned.signal, "read the message of an outbox", () =>
        messageAt(host.bus, stream, record.seq),
      );
      if (pending) {
        metrics.republished({ kind: kind.kind });
        await publishOutbox(host.bus, record.outbox, owned.signal);
      }
    }
    record.outbox = [];
    if (kind.recall && loaded.revision > 0)
      record.state = await retrying(host.log, owned.signal, "read what a state leaves in streams", async () =>
        kind.recall?.(record.state, route),
      );
    return loaded;
  }

  async #handle(batch: readonly Delivery[]): Promise<void> {
    const fresh = this.#freshOf(batch);
    if (fresh.length === 0) return;
    const [first] = fresh;
    if (first?.suspect) {
      // Begun once and never finished: from now on alone on its host, so that nobody else is blamed for a second death.
      const again = attemptsOf((this.#loaded as Loaded).record.attempts, first) > 0;
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
    const { envelope } = delivery;
    const { record } = this.#loaded as Loaded;
    if (record.processed.has(envelope.id) && !this.#options.host.unsafe.ignoreRing) {
      metrics.repeats({ kind: this.#options.kind.kind });
      this.#repeat(envelope);
    } else if (!envelope.timer || record.timers[envelope.timer.name] === envelope.timer.generation)
      return true;
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
    for (;;) {
      const { record } = this.#loaded as Loaded;
      const attempts = attemptsOf(record.attempts, delivery) + 1;
      if (attempts > LIMITS.handlerAttempts)
        return this.#poison([delivery], new Error(`begun ${attempts - 1} times, never finished`));
      if (
        await this.#write(this.#draft([], undefined), [], { ...record.attempts, [id]: attempts }, record.seq)
      )
        break;
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
      forgets: record.processed.isFull,
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
      else await this.#poison(deliveries, error.cause);
    }
    host.touch(this);
  }

  /** Runs the handler until it succeeds and is committed, at most the allowed attempts. */
  async #attempts(deliveries: readonly Delivery[], trace: Envelope["trace"]): Promise<void> {
    const { kind, host, owned } = this.#options;
    const burst = deliveries.map((d) => d.envelope);
    let waitMs = FIRST_RETRY_MS;
    for (let attempt = 1; ; attempt++) {
      const draft = this.#draft(burst, trace);
      try {
        const running = kind.run(
          draft,
          burst.map((m) => ({ ...m, body: kind.parse(m.type, m.body) })),
        );
        if (running) await running;
      } catch (error) {
        owned.signal.throwIfAborted();
        metrics.handlerFailures({ kind: kind.kind });
        const permanent =
          asJetclawError(error).retry === "never" && asJetclawError(error).code !== "internal.bug";
        if (permanent || attempt >= LIMITS.handlerAttempts || deliveries.length > 1)
          throw new HandlerFailed(error);
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

  /** False when the record had changed under us and was loaded again. */
  async #commitAndFinish(draft: Draft, deliveries: readonly Delivery[]): Promise<boolean> {
    const { host, owned } = this.#options;
    const { record } = this.#loaded as Loaded;
    draft.answerSilent();
    draft.timers = timersAfter(draft.timers, deliveries);
    const attempts = attemptsAfter(record.attempts, deliveries);
    const last = deliveries[deliveries.length - 1] as Delivery;
    const ids = deliveries.flatMap(({ envelope }) =>
      this.#options.kind.remembers(envelope.type) ? [envelope.id] : [],
    );
    if (!(await this.#write(draft, ids, attempts, last.seq))) return false;
    let paused = killPoint("host.afterCommit");
    if (paused) await paused;
    const { outbox } = (this.#loaded as Loaded).record;
    if (outbox.length > 0) await publishOutbox(host.bus, outbox, owned.signal, draft.stored);
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
  async #write(
    draft: Draft,
    ids: readonly string[],
    attempts: Readonly<Record<string, number>>,
    seq: number,
  ): Promise<boolean> {
    const { host, kind, owned } = this.#options;
    const loaded = this.#loaded as Loaded;
    const outcome = await this.#encodedCommit({
      op: host.nextOperation(),
      state: draft.state,
      ...(kind.store ? { stored: kind.store(draft.state) } : {}),
      stateVersion: kind.version,
      processed: loaded.record.processed,
      newlyProcessed: ids,
      outbox: loaded.record.outbox.length > 0 ? [...loaded.record.outbox, ...draft.effects] : draft.effects,
      seq,
      timers: draft.timers,
      attempts,
    });
    metrics.commits({ kind: kind.kind, result: outcome });
    if (outcome === "committed") return true;
    if (outcome === "lost") {
      owned.lost("another host wrote the state");
      throw new Evicted();
    }
    this.#loaded = await this.#load();
    return false;
  }

  /** A state above the limit is the handler's fault, not the store's. */
  async #encodedCommit(next: NextRecord): Promise<"committed" | "stale" | "lost"> {
    const { host, route, owned } = this.#options;
    try {
      return await commit(host, route, this.#loaded as Loaded, owned, next);
    } catch (error) {
      if (error instanceof JetclawError && error.code === "actor.state-too-large")
        throw new HandlerFailed(error);
      throw error;
    }
  }

  /** Gives a message up: kept as a dead letter, remembered as processed, the session goes on. */
  async #poison(deliveries: readonly Delivery[], cause: unknown): Promise<void> {
    const { host, kind, route, stream, owned } = this.#options;
    for (const delivery of deliveries) {
      const reference = await deadLetter(host.bus, {
        stream,
        route,
        envelope: delivery.envelope,
        cause,
        signal: owned.signal,
      });
      host.log.error({ err: cause, kind: kind.kind, reference }, "message given up, kept as a dead letter");
      for (;;) {
        const draft = this.#draft([delivery.envelope], delivery.envelope.trace);
        draft.handling(delivery.envelope);
        if (kind.poisoned) kind.poisoned(draft, delivery.envelope, reference);
        else draft.reply({ error: "actor.handler-failed", reference });
        if (await this.#commitAndFinish(draft, [delivery])) break;
        if (!this.#isFresh(delivery)) break;
      }
    }
  }
}

/** The handler cannot process these messages; the cause says why. */
class HandlerFailed extends Error {
  constructor(cause: unknown) {
    super("handler failed", { cause });
  }
}
