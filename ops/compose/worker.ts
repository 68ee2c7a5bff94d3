/** The role `worker`: a pump a pool, the models of the pools, and a beat that says how busy they are. */
import { executor } from "#actors/inference/execute.ts";
import { publishHealth } from "#actors/inference/health.ts";
import { Member } from "#actors/inference/member.ts";
import { modelsOf, type RegistryOptions } from "#actors/inference/models/registry.ts";
import { Offline } from "#actors/inference/offline.ts";
import { ModelPool } from "#actors/inference/pool.ts";
import { Pump } from "#actors/inference/pump.ts";
import { Stops } from "#actors/inference/stops.ts";
import { JetclawError } from "#contracts/errors.ts";
import { LIMITS } from "#contracts/limits.ts";
import { WorkQueue } from "#runtime/nats/work-queue.ts";
import { announce } from "#runtime/observe/presence.ts";
import type { RoleContext, RunningRole } from "./context.ts";

export interface WorkerOptions extends RegistryOptions {
  /** Names of configured pools; all of them when left out. */
  readonly pools?: readonly string[] | undefined;
  /** Jobs held at once a pool; the sum of its models' concurrency when left out. */
  readonly slots?: number | undefined;
  /** How long a drain lets held jobs finish before it gives them back. */
  readonly graceMs?: number | undefined;
}

/** A worker that holds nothing has nothing to tell: it says so this many times more seldom. */
const IDLE_BEATS = 8;

interface Part {
  readonly pool: string;
  readonly models: ModelPool;
  readonly queue: WorkQueue;
  readonly pump: Pump;
  /** One for each model with a batch API. */
  readonly offline: readonly Offline[];
}

/** @throws JetclawError `config.invalid` for a pool that is not configured, `nats.unavailable` */
export async function startWorker(ctx: RoleContext, options: WorkerOptions = {}): Promise<RunningRole> {
  const names = options.pools ?? Object.keys(ctx.config.pools);
  if (names.length === 0)
    throw new JetclawError("config.invalid", "a worker needs a pool; configure one under pools");
  const pools = modelPools(ctx, names, options);
  const stops = new Stops(ctx.bus);
  const parts: Part[] = [];
  for (const { name, models } of pools) {
    const queue = await WorkQueue.open(ctx.bus, name);
    const pump = new Pump({
      queue,
      slots: slotsOf(models, options.slots),
      run: executor({
        bus: ctx.bus,
        clock: ctx.clock,
        log: ctx.log,
        pool: name,
        models,
        stops,
        worker: ctx.instance,
      }),
      log: ctx.log,
    });
    parts.push({ pool: name, models, queue, pump, offline: offlineOf(ctx, name, models) });
  }
  return run(ctx, parts, stops, options.graceMs ?? LIMITS.drainMs);
}

/** A pool that falls back on another one uses that one's members, so that both see the same breakers and limits. */
function modelPools(
  ctx: RoleContext,
  names: readonly string[],
  options: WorkerOptions,
): { name: string; models: ModelPool }[] {
  const made = new Map<string, Member[]>();
  const membersOf = (name: string): Member[] => {
    const known = made.get(name);
    if (known) return known;
    const members = modelsOf(poolOf(ctx, name), options).map((model) => new Member(model, ctx.clock));
    made.set(name, members);
    return members;
  };
  return names.map((name) => {
    const fallback = poolOf(ctx, name).fallback.filter((other) => other !== name);
    return { name, models: new ModelPool(membersOf(name), ctx.clock, fallback.map(membersOf)) };
  });
}

function offlineOf(ctx: RoleContext, pool: string, { members }: ModelPool): Offline[] {
  const { bus, clock, log, instance: worker } = ctx;
  return members.flatMap(({ model, price, concurrency, offline }) => {
    if (!offline) return [];
    return new Offline({ bus, clock, log, pool, worker, served: { model, price, concurrency, offline } });
  });
}

/** What the models let through now; a number of slots that was asked for holds while nothing limits them. */
function slotsOf(models: ModelPool, asked: number | undefined): () => number {
  if (asked === undefined) return () => models.capacity;
  return () => {
    const { capacity } = models;
    return capacity >= models.concurrency ? asked : Math.min(asked, capacity);
  };
}

function poolOf(ctx: RoleContext, name: string): RoleContext["config"]["pools"][string] {
  const pool = Object.hasOwn(ctx.config.pools, name) ? ctx.config.pools[name] : undefined;
  if (pool) return pool;
  throw new JetclawError(
    "config.invalid",
    `there is no pool "${name}"; there are ${Object.keys(ctx.config.pools).join(", ") || "none"}`,
  );
}

function run(ctx: RoleContext, parts: readonly Part[], stops: Stops, graceMs: number): RunningRole {
  let state: "running" | "draining" | "stopped" = "running";
  const sum = (of: (part: Part) => number): number => parts.reduce((total, part) => total + of(part), 0);
  const presence = announce(
    ctx.bus,
    { role: "worker", instance: ctx.instance },
    () => ({
      pools: parts.map(({ pool }) => pool).join(","),
      slots: sum(({ pump }) => pump.slots),
      inFlight: sum(({ pump }) => pump.inFlight),
    }),
    () => state !== "running",
    () => (sum(({ pump }) => pump.inFlight) > 0 ? LIMITS.heartbeatMs : IDLE_BEATS * LIMITS.heartbeatMs),
  );
  const health = publishHealth({
    bus: ctx.bus,
    clock: ctx.clock,
    log: ctx.log,
    worker: ctx.instance,
    members: parts.flatMap(({ pool, models }) => models.members.map((member) => ({ pool, member }))),
  });
  const reconnects = ctx.bus.onReconnect(() => {
    for (const { pump } of parts) pump.renew();
  });
  const stopOffline = (): Promise<void>[] =>
    parts.flatMap(({ offline }) => offline.map((each) => each.stop()));
  const drain = async (): Promise<void> => {
    if (state === "running") state = "draining";
    presence.now();
    await Promise.all([...parts.map(({ pump }) => pump.drain(graceMs)), ...stopOffline()]);
  };
  return {
    role: "worker",
    readiness: () => (state === "running" ? undefined : `the worker is ${state}`),
    drain,
    async stop() {
      if (state === "stopped") return;
      // Without a drain before it, what is held goes back at once: others take it.
      await Promise.all([...parts.map(({ pump }) => pump.drain(0)), ...stopOffline()]);
      state = "stopped";
      reconnects.stop();
      await health.stop();
      stops.close();
      for (const { queue } of parts) queue.close();
      presence.stop();
    },
  };
}
