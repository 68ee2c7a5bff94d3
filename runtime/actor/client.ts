/** Talking to actors from outside: tell (durable), ask (durable, and wait for the reply), read the state. */
import { decode } from "#contracts/codec.ts";
import type { TraceContext } from "#contracts/envelope.ts";
import { JetclawError } from "#contracts/errors.ts";
import { type ActorAddress, type ActorRoute, actorsBucket } from "#contracts/subjects.ts";
import type { Clock } from "../clock.ts";
import type { Bus } from "../nats/connect.ts";
import { sendToActor, shardOfRoute } from "../nats/inbound.ts";
import { Kv } from "../nats/kv.ts";
import type { Deployment } from "../nats/topology.ts";
import { decodeRecord, type ProcessedIds } from "./record.ts";

export interface TellOptions {
  readonly id?: string | undefined;
  readonly trace?: TraceContext | undefined;
}

/** Sends a message; resolves with its id when it can no longer be lost. */
export async function tellActor(
  bus: Bus,
  clock: Clock,
  to: ActorAddress,
  type: string,
  body: unknown,
  options: TellOptions & { replyTo?: string } = {},
): Promise<string> {
  const id = options.id ?? clock.id();
  const { trace, replyTo } = options;
  await sendToActor(bus, {
    id,
    kind: to.kind,
    tenant: to.tenant,
    key: to.key,
    type,
    body,
    at: clock.now(),
    ...(trace ? { trace } : {}),
    ...(replyTo ? { replyTo } : {}),
  });
  return id;
}

/**
 * Sends a message and waits for the handler's reply.
 * @throws JetclawError `turn.timeout` when no reply came in time; the message is processed all the same
 */
export async function askActor<T>(
  bus: Bus,
  clock: Clock,
  to: ActorAddress,
  type: string,
  body: unknown,
  timeoutMs: number,
  options: TellOptions = {},
): Promise<T> {
  const replyTo = bus.inbox();
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const subscription = bus.subscribe(replyTo, ({ data }) => resolve(decode<{ value: T }>(data).value));
  const timer = setTimeout(
    () => reject(new JetclawError("turn.timeout", "the actor has not replied yet; the message is kept")),
    timeoutMs,
  );
  try {
    // Both at once: a time-out before the message is stored would be an error that nobody has caught, which ends a process.
    const told = tellActor(bus, clock, to, type, body, { ...options, replyTo });
    return (await Promise.all([promise, told]))[0];
  } finally {
    clearTimeout(timer);
    subscription.stop();
  }
}

type Upgrade = (state: unknown, from: number) => unknown;
const AS_IT_IS: Upgrade = (state) => state;

/**
 * The committed state of an actor as it is stored, read from the leader; undefined when it has none.
 * `upgrade` brings one that older code wrote to the caller's version. @throws JetclawError `actor.state-newer`
 */
export async function readActorState<T>(
  bus: Bus,
  deployment: Deployment,
  route: ActorRoute,
  upgrade: Upgrade = AS_IT_IS,
): Promise<T | undefined> {
  return (await readActor<T>(bus, deployment, route, upgrade))?.state;
}

/**
 * The same, with the ids of the last messages that the actor has processed, and the sequence up to which it was erased.
 * @throws JetclawError `actor.state-newer`
 */
export async function readActor<T>(
  bus: Bus,
  deployment: Deployment,
  route: ActorRoute,
  upgrade: Upgrade = AS_IT_IS,
): Promise<{ state: T; processed: ProcessedIds; floor: number } | undefined> {
  const entry = await new Kv(bus, actorsBucket(shardOfRoute(route, deployment))).getFromLeader(route.path);
  if (!entry.value) return undefined;
  const { state, stateVersion, processed, floor } = decodeRecord(entry.value);
  return { state: upgrade(state, stateVersion) as T, processed, floor };
}
