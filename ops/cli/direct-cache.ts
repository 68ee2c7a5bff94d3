/** The caches over NATS itself, for whoever has no gateway or no key. */
import { createCacheAdmin } from "#actors/cache/admin.ts";
import type { CacheAdmin } from "#actors/cache/port.ts";
import { systemClock } from "#runtime/clock.ts";
import { createLog } from "#runtime/observe/log.ts";
import { connectTo } from "../compose/open.ts";

export async function withCache<T>(url: string, work: (cache: CacheAdmin) => Promise<T>): Promise<T> {
  const bus = await connectTo(url, "jetclaw-cli", createLog({ level: "error" }));
  try {
    return await work(createCacheAdmin(bus, systemClock));
  } finally {
    await bus.close();
  }
}
