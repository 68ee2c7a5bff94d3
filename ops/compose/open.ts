/** From settings and configuration to the context that roles are composed from: connected, provisioned. */
import { hostname } from "node:os";
import type { Config } from "#contracts/config.ts";
import { systemClock } from "#runtime/clock.ts";
import { type Bus, connectBus } from "#runtime/nats/connect.ts";
import { type Deployment, provision } from "#runtime/nats/topology.ts";
import type { Log } from "#runtime/observe/log.ts";
import { splitNatsUrl } from "../settings.ts";
import type { RoleContext } from "./context.ts";

export function connectTo(natsUrl: string, name: string, log: Log): Promise<Bus> {
  const { servers, credentials } = splitNatsUrl(natsUrl);
  return connectBus({ servers, credentials, name, log });
}

/** Idempotent and safe to run at once by many processes, so every process makes sure of what it needs. */
export function provisionFor(bus: Bus, config: Config): Promise<Deployment> {
  return provision(bus, {
    shards: config.shards,
    replicas: config.replicas,
    pools: Object.keys(config.pools),
  });
}

export function contextOf(bus: Bus, deployment: Deployment, config: Config, log: Log): RoleContext {
  const instance = `${hostname().slice(0, 32)}-${process.pid}-${systemClock.id().slice(0, 6)}`;
  return { bus, deployment, config, log, clock: systemClock, instance };
}
