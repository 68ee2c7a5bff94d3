/**
 * Model health in the bucket `models`: each worker writes what it sees of its models, with a lifetime, so that a dead
 * worker's word does not outlive it; routers and the governor read all of it through one watch.
 */
import { decode, encode } from "#contracts/codec.ts";
import { BREAKER_STATES, type ModelHealth, modelHealthSchema } from "#contracts/load.ts";
import { BUCKETS, modelHealthKey } from "#contracts/subjects.ts";
import type { Clock } from "#runtime/clock.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { Kv } from "#runtime/nats/kv.ts";
import type { Log } from "#runtime/observe/log.ts";
import { gauge } from "#runtime/observe/metrics.ts";
import { untilPulse } from "#runtime/pulse.ts";
import type { Member } from "./member.ts";
import type { HealthView, PoolHealth } from "./port.ts";

const BUSY_MS = 2_000;
/** An idle model has nothing new to say. */
const IDLE_MS = 16_000;
/** So many words in a row may be lost before a worker counts as gone. */
const LOST_WORDS = 3;
/** A worker that leaves says so with a limit of 0, for this long. */
const FAREWELL_MS = 2_000;

export interface PublishHealthParts {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly worker: string;
  readonly members: readonly { readonly pool: string; readonly member: Member }[];
}

interface Told {
  at: number;
  moves: number;
}

/** Writes at once when a breaker changes, every two seconds while a model works, seldom while all are idle. */
export function publishHealth(parts: PublishHealthParts): { stop(): Promise<void> } {
  const { bus, clock, log, worker, members } = parts;
  const bucket = new Kv(bus, BUCKETS.models);
  const told = new Map<Member, Told>();
  const write = async (pool: string, member: Member, leaving = false): Promise<void> => {
    told.set(member, { at: clock.now(), moves: member.moves });
    const lifetimeMs = (member.running > 0 ? BUSY_MS : IDLE_MS) * (LOST_WORDS + 1);
    const health: ModelHealth = {
      pool,
      worker,
      lifetimeMs,
      ...member.health(),
      ...(leaving ? { limit: 0 } : {}),
    };
    try {
      await bucket.put(modelHealthKey(health), encode(health), {
        ttlMs: leaving ? FAREWELL_MS : lifetimeMs,
      });
    } catch (err) {
      // Missing health makes a router blind, not a turn fail: the next tick writes again.
      log.debug({ err, pool, model: member.model.name }, "cannot publish the health of a model");
      told.delete(member);
    }
  };
  const isBusy = (member: Member): boolean => member.running > 0 || member.moves !== told.get(member)?.moves;
  const due = (member: Member): boolean => {
    const last = told.get(member);
    // A tick comes a little early or late: half of one is the tolerance.
    return !last || clock.now() - last.at >= (isBusy(member) ? BUSY_MS : IDLE_MS) - BUSY_MS / 2;
  };
  let timer: NodeJS.Timeout | undefined;
  let waitsIdly = false;
  const tick = (): void => {
    clearTimeout(timer);
    if (bus.connected) for (const { pool, member } of members) if (due(member)) void write(pool, member);
    waitsIdly = !members.some(({ member }) => isBusy(member));
    timer = setTimeout(tick, waitsIdly ? untilPulse(IDLE_MS) : BUSY_MS);
  };
  for (const { pool, member } of members) {
    member.onChange = () => void write(pool, member);
    member.onBegin = () => {
      if (!waitsIdly) return;
      waitsIdly = false;
      clearTimeout(timer);
      timer = setTimeout(tick, BUSY_MS);
    };
  }
  tick();
  const removeGauges = gauges(members);
  return {
    async stop() {
      clearTimeout(timer);
      for (const remove of removeGauges) remove();
      for (const { member } of members) {
        member.onChange = () => {};
        member.onBegin = () => {};
      }
      if (bus.connected) await Promise.all(members.map(({ pool, member }) => write(pool, member, true)));
    },
  };
}

function gauges(members: PublishHealthParts["members"]): (() => void)[] {
  const each = (name: string, text: string, of: (member: Member) => number): (() => void) =>
    gauge(name, text, () =>
      members.map(({ pool, member }) => ({ value: of(member), labels: { pool, model: member.model.name } })),
    );
  return [
    each("model_breaker", "breaker of a model: 0 closed, 1 half-open, 2 open", ({ breaker }) =>
      BREAKER_STATES.indexOf(breaker),
    ),
    each("model_limit", "requests that a worker runs at once on a model", ({ limit }) => limit),
    each("model_in_flight", "requests that run on a model", ({ running }) => running),
  ];
}

/** Follows the health of all models. @throws JetclawError `nats.unavailable` */
export async function watchHealth(bus: Bus, now: () => number = Date.now): Promise<HealthView> {
  const known = new Map<string, { health: ModelHealth; heardAt: number }>();
  const watch = await new Kv(bus, BUCKETS.models).watch(">", ({ key, value }) => {
    const parsed = value && value.length > 0 ? modelHealthSchema.safeParse(readOf(value)) : undefined;
    // A limit of 0 is a farewell.
    if (parsed?.success && parsed.data.limit > 0) known.set(key, { health: parsed.data, heardAt: now() });
    else known.delete(key);
  });
  return {
    of(pool, model) {
      const models = new Map<string, ModelHealth[]>();
      for (const [key, { health, heardAt }] of known) {
        // Its own clock: a worker's may be wrong, and a watch can miss that a key has expired.
        if (now() - heardAt > health.lifetimeMs) known.delete(key);
        else if (health.pool === pool && (model === undefined || health.model === model))
          models.set(health.model, [...(models.get(health.model) ?? []), health]);
      }
      return together([...models.values()]);
    },
    stop: () => watch.stop(),
  };
}

function readOf(value: Uint8Array): unknown {
  try {
    return decode(value);
  } catch {
    return undefined;
  }
}

/** The health of models, each as its workers see it, as that of one. Pure. */
export function together(models: readonly (readonly ModelHealth[])[]): PoolHealth | undefined {
  const all = models.flat();
  if (all.length === 0) return undefined;
  const sum = (of: (health: ModelHealth) => number): number =>
    all.reduce((total, each) => total + of(each), 0);
  // A worker that saw nothing lately has no say in a mean, unless none has seen anything.
  const seen = sum(({ requestsPerSecond }) => requestsPerSecond);
  const mean = (of: (health: ModelHealth) => number): number =>
    seen > 0 ? sum((each) => of(each) * each.requestsPerSecond) / seen : sum(of) / all.length;
  return {
    workers: new Set(all.map(({ worker }) => worker)).size,
    breaker: BREAKER_STATES[Math.min(...models.filter((each) => each.length > 0).map(mostSeen))] ?? "closed",
    inFlight: sum(({ inFlight }) => inFlight),
    limit: sum(({ limit, breaker }) => (breaker === "open" ? 0 : limit)),
    firstTokenMs: mean(({ firstTokenMs }) => firstTokenMs),
    totalMs: mean(({ totalMs }) => totalMs),
    tokensPerSecond: sum(({ tokensPerSecond }) => tokensPerSecond),
    requestsPerSecond: seen,
    errorShare: mean(({ errorShare }) => errorShare),
  };
}

/** Index of the state that most workers see, in doubt the worse. */
function mostSeen(workers: readonly ModelHealth[]): number {
  const counts = BREAKER_STATES.map((state) => workers.filter(({ breaker }) => breaker === state).length);
  return counts.lastIndexOf(Math.max(...counts));
}
