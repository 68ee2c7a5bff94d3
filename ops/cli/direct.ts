/** What commands do over NATS itself, where no gateway is there yet or none lets them in. */
import { createCacheAdmin } from "#actors/cache/admin.ts";
import type { CacheAdmin } from "#actors/cache/port.ts";
import { createAdminSource } from "#actors/gateway/admin-source.ts";
import { KvKeyStore } from "#actors/gateway/keys.ts";
import type { AdminStatus, KeyStore } from "#actors/gateway/port.ts";
import { createLoadAdmin } from "#actors/governor/admin.ts";
import type { LoadAdmin } from "#actors/governor/port.ts";
import type { Config } from "#contracts/config.ts";
import { LIMITS } from "#contracts/limits.ts";
import type { DeadLetters } from "#runtime/actor/dead-letters.ts";
import { systemClock } from "#runtime/clock.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import type { Deployment } from "#runtime/nats/topology.ts";
import { createLog } from "#runtime/observe/log.ts";
import { Presence } from "#runtime/observe/presence.ts";
import { connectTo, provisionFor } from "../compose/open.ts";
import { readPlacement } from "../compose/placement-summary.ts";
import { loadConfig } from "../config.ts";
import { natsUrlOf, readSettings } from "../settings.ts";

async function onBus<T>(url: string | undefined, work: (bus: Bus) => Promise<T>): Promise<T> {
  const bus = await connectTo(url ?? natsUrlOf(readSettings()), "jetclaw-cli", createLog({ level: "error" }));
  try {
    return await work(bus);
  } finally {
    await bus.close();
  }
}

/** The deployment is provisioned where it is not: the first key comes before the first role. */
export function onDeployment<T>(
  url: string | undefined,
  work: (bus: Bus, deployment: Deployment, config: Config) => Promise<T>,
): Promise<T> {
  return onBus(url, async (bus) => {
    const { config } = await loadConfig(readSettings(), { callsModels: false, asks: "nothing" });
    return work(bus, await provisionFor(bus, config), config);
  });
}

export function withKeys<T>(url: string, work: (keys: KeyStore) => Promise<T>): Promise<T> {
  return onDeployment(url, async (bus) => {
    const keys = await KvKeyStore.open(bus, systemClock);
    try {
      return await work(keys);
    } finally {
      keys.close();
    }
  });
}

export function withLoad<T>(url: string, work: (load: LoadAdmin) => Promise<T>): Promise<T> {
  return onBus(url, (bus) => work(createLoadAdmin(bus, systemClock)));
}

export function withCache<T>(url: string, work: (cache: CacheAdmin) => Promise<T>): Promise<T> {
  return onBus(url, (bus) => work(createCacheAdmin(bus, systemClock)));
}

export function withDead<T>(url: string, work: (dead: DeadLetters) => Promise<T>): Promise<T> {
  return onDeployment(url, async (bus, deployment) => {
    const { deadLettersOf } = await import("../compose/dead-letters.ts");
    return work(deadLettersOf(bus, deployment));
  });
}

/** Work with what runs, as it says itself: resolves when every role has been heard. */
export function withPresence<T>(url: string, work: (bus: Bus, presence: Presence) => Promise<T>): Promise<T> {
  return onBus(url, (bus) => hearing(bus, (presence) => work(bus, presence)));
}

export function readStatus(url: string): Promise<AdminStatus> {
  return onDeployment(url, (bus, { shards }, { pools }) =>
    hearing(bus, (presence) =>
      createAdminSource({
        bus,
        shards,
        pools: Object.keys(pools),
        presence,
        clock: systemClock,
        placement: () => readPlacement(bus),
      }).status(),
    ),
  );
}

/** Roles answer the roll that is called here. */
async function hearing<T>(bus: Bus, work: (presence: Presence) => Promise<T>): Promise<T> {
  const presence = new Presence(bus);
  try {
    await systemClock.sleep(LIMITS.heartbeatMs);
    return await work(presence);
  } finally {
    presence.stop();
  }
}
