/** The user's actors as HTTP sees them: a checked message in, its reply or nothing out, and the view of a state. */
import { decode } from "#contracts/codec.ts";
import type { TraceContext } from "#contracts/envelope.ts";
import { JetclawError } from "#contracts/errors.ts";
import { actorsBucket, routeOf } from "#contracts/subjects.ts";
import type { Clock } from "../clock.ts";
import type { Bus } from "../nats/connect.ts";
import { shardOfRoute } from "../nats/inbound.ts";
import { Kv } from "../nats/kv.ts";
import type { Deployment } from "../nats/topology.ts";
import { tellActor } from "./client.ts";
import type { ActorKind } from "./define.ts";
import { decodeRecord } from "./record.ts";

export interface Mail {
  readonly tenant: string;
  readonly kind: string;
  readonly key: string;
  readonly type: string;
  readonly body: unknown;
  /** Idempotency key: the client's own, or a fresh one. */
  readonly id: string;
  /** How long the caller waits for the handler's reply; 0: not at all. */
  readonly waitMs: number;
  readonly trace?: TraceContext | undefined;
}

export class ActorMailer {
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #deployment: Deployment;
  readonly #kinds: ReadonlyMap<string, ActorKind>;

  constructor(options: { bus: Bus; deployment: Deployment; clock: Clock; kinds: readonly ActorKind[] }) {
    this.#bus = options.bus;
    this.#clock = options.clock;
    this.#deployment = options.deployment;
    this.#kinds = new Map(options.kinds.map((k) => [k.kind, k]));
  }

  /**
   * Checks a message against its kind, stores it, and waits for the handler's reply; resolves as soon as it is known
   * to be processed without one.
   * @throws JetclawError `actor.kind-unknown`, `actor.message-unknown`, `request.invalid`, `nats.unavailable`
   */
  async send(mail: Mail): Promise<{ replied: true; reply: unknown } | { replied: false }> {
    this.#kind(mail.kind).parse(mail.type, mail.body);
    const { id, trace } = mail;
    if (mail.waitMs === 0) {
      await tellActor(this.#bus, this.#clock, mail, mail.type, mail.body, { id, trace });
      return { replied: false };
    }
    const replyTo = this.#bus.inbox();
    const { promise, resolve } = Promise.withResolvers<{ value?: unknown }>();
    const subscription = this.#bus.subscribe(replyTo, ({ data }) =>
      resolve(decode<{ value?: unknown }>(data)),
    );
    const timer = setTimeout(() => resolve({}), mail.waitMs);
    try {
      await tellActor(this.#bus, this.#clock, mail, mail.type, mail.body, { id, trace, replyTo });
      const reply = await promise;
      return "value" in reply ? { replied: true, reply: reply.value } : { replied: false };
    } finally {
      clearTimeout(timer);
      subscription.stop();
    }
  }

  /**
   * What the kind shows of an actor's committed state; undefined when it has none.
   * @throws JetclawError `actor.kind-unknown`, `actor.state-newer`, `nats.unavailable`
   */
  async view(kindName: string, tenant: string, key: string): Promise<{ value: unknown } | undefined> {
    const kind = this.#kind(kindName);
    const route = routeOf({ kind: kindName, tenant, key });
    const entry = await new Kv(this.#bus, actorsBucket(shardOfRoute(route, this.#deployment))).getFromLeader(
      route.path,
    );
    if (!entry.value) return undefined;
    const record = decodeRecord(entry.value);
    return { value: kind.view(kind.upgrade(record.state, record.stateVersion)) };
  }

  #kind(name: string): ActorKind {
    const kind = this.#kinds.get(name);
    if (!kind)
      throw new JetclawError(
        "actor.kind-unknown",
        this.#kinds.size > 0 ? `kinds: ${[...this.#kinds.keys()].join(", ")}` : undefined,
      );
    return kind;
  }
}
