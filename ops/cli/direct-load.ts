/** The load over NATS itself, for whoever has no gateway or no key. */
import { createLoadAdmin } from "#actors/governor/admin.ts";
import type { LoadAdmin } from "#actors/governor/port.ts";
import { systemClock } from "#runtime/clock.ts";
import { createLog } from "#runtime/observe/log.ts";
import { connectTo } from "../compose/open.ts";

export async function withLoad<T>(url: string, work: (load: LoadAdmin) => Promise<T>): Promise<T> {
  const bus = await connectTo(url, "jetclaw-cli", createLog({ level: "error" }));
  try {
    return await work(createLoadAdmin(bus, systemClock));
  } finally {
    await bus.close();
  }
}
