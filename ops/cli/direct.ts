/** What commands do over NATS itself, where no gateway is there yet or none lets them in. */
import { createCacheAdmin } from "#actors/cache/admin.ts";
import type { CacheAdmin } from "#actors/cache/port.ts";
import { createAdminSource } from "#actors/gateway/admin-source.ts";
import { KvKeyStore } from "#actors/gateway/keys.ts";
import type { AdminStatus, KeyStore } from "#actors/gateway/port.ts";
import { createLoadAdmin } from "#actors/governor/admin.ts";
import type { LoadAdmin } from "#actors/governor/port.ts";
import { LIMITS } from "#contracts/limits.ts";
import type { DeadLetters } from "#runtime/actor/dead-letters.ts";
import { systemClock } from "#runtime/clock.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { type Deployment, readDeployment } from "#runtime/nats/topology.ts";
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

/** A deployment that is there, left as it is. */
export function onDeployment<T>(
  url: string | undefined,
  work: (bus: Bus, deployment: Deployment) => Promise<T>,
): Promise<T> {
  return onBus(url, async (bus) => work(bus, await readDeployment(bus)));
}

/** Provisioned where it is not: the first key and a restored archive come before the first role. */
export function onProvisioned<T>(url: string | undefined, work: (bus: Bus) => Promise<T>): Promise<T> {
  return onBus(url, async (bus) => {
    await provisionFor(bus, (await readConfig()).config);
    return work(bus);
  });
}

const readConfig = () => loadConfig(readSettings(), { callsModels: false, asks: "nothing" });

export function withKeys<T>(url: string, work: (keys: KeyStore) => Promise<T>): Promise<T> {
  return onDeployment(url, (bus) => workWithKeys(bus, work));
}

export function withFirstKeys<T>(url: string, work: (keys: KeyStore) => Promise<T>): Promise<T> {
  return onProvisioned(url, (bus) => workWithKeys(bus, work));
}

async function workWithKeys<T>(bus: Bus, work: (keys: KeyStore) => Promise<T>): Promise<T> {
  const keys = await KvKeyStore.open(bus, systemClock);
  try {
    return await work(keys);
  } finally {
    keys.close();
  }
}

export function withLoad<T>(url: string, work: (load: LoadAdmin) => Promise<T>): Promise<T> {
  return onDeployment(url, (bus) => work(createLoadAdmin(bus, systemClock)));
}

export function withCache<T>(url: string, work: (cache: CacheAdmin) => Promise<T>): Promise<T> {
  return onDeployment(url, (bus) => work(createCacheAdmin(bus, systemClock)));
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
  return onDeployment(url, async (bus, { shards }) => {
    const { pools } = (await readConfig()).config;
    return hearing(bus, (presence) =>
      createAdminSource({
        bus,
        shards,
        pools: Object.keys(pools),
        presence,
        clock: systemClock,
        placement: () => readPlacement(bus),
      }).status(),
    );
  });
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
