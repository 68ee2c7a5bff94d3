/** What a few commands do over NATS itself, where no gateway is there yet or none lets them in. */
import { createAdminSource } from "#actors/gateway/admin-source.ts";
import { KvKeyStore } from "#actors/gateway/keys.ts";
import type { AdminStatus, KeyStore } from "#actors/gateway/port.ts";
import { createLoadAdmin } from "#actors/governor/admin.ts";
import { LIMITS } from "#contracts/limits.ts";
import type { Level } from "#contracts/load.ts";
import { systemClock } from "#runtime/clock.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { createLog } from "#runtime/observe/log.ts";
import { Presence } from "#runtime/observe/presence.ts";
import { connectTo, provisionFor } from "../compose/open.ts";
import { readPlacement } from "../compose/placement-summary.ts";
import { loadConfig } from "../config.ts";
import { readSettings } from "../settings.ts";

async function onBus<T>(url: string, work: (bus: Bus) => Promise<T>): Promise<T> {
  const bus = await connectTo(url, "jetclaw-cli", createLog({ level: "error" }));
  try {
    return await work(bus);
  } finally {
    await bus.close();
  }
}

/** Keys over NATS. The deployment is provisioned where it is not: the first key comes before the first role. */
export function withKeys<T>(url: string, work: (keys: KeyStore) => Promise<T>): Promise<T> {
  return onBus(url, async (bus) => {
    const { config } = await loadConfig(readSettings(), { callsModels: false, asks: "nothing" });
    await provisionFor(bus, config);
    const keys = await KvKeyStore.open(bus, systemClock);
    try {
      return await work(keys);
    } finally {
      keys.close();
    }
  });
}

/** The load level in force. */
export function readLevel(url: string): Promise<Level> {
  return onBus(url, async (bus) => (await createLoadAdmin(bus, systemClock).status()).level);
}

/** Work with what runs, as it says itself: resolves when every role has been heard. */
export function withPresence<T>(url: string, work: (bus: Bus, presence: Presence) => Promise<T>): Promise<T> {
  return onBus(url, async (bus) => {
    const presence = new Presence(bus);
    await systemClock.sleep(LIMITS.heartbeatMs);
    try {
      return await work(bus, presence);
    } finally {
      presence.stop();
    }
  });
}

export function readStatus(url: string): Promise<AdminStatus> {
  return onBus(url, async (bus) => {
    const { config } = await loadConfig(readSettings(), { callsModels: false, asks: "nothing" });
    const { shards } = await provisionFor(bus, config);
    const presence = new Presence(bus);
    // Roles answer the roll that was just called.
    await systemClock.sleep(LIMITS.heartbeatMs);
    try {
      const placement = () => readPlacement(bus);
      return await createAdminSource({
        bus,
        shards,
        pools: Object.keys(config.pools),
        presence,
        clock: systemClock,
        placement,
      }).status();
    } finally {
      presence.stop();
    }
  });
}
