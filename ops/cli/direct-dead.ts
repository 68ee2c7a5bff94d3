/** Dead letters over NATS itself, for whoever has no gateway or no key. */
import type { DeadLetters } from "#runtime/actor/dead-letters.ts";
import { createLog } from "#runtime/observe/log.ts";
import { deadLettersOf } from "../compose/dead-letters.ts";
import { connectTo, provisionFor } from "../compose/open.ts";
import { loadConfig } from "../config.ts";
import { readSettings } from "../settings.ts";

export async function withDead<T>(url: string, work: (dead: DeadLetters) => Promise<T>): Promise<T> {
  const bus = await connectTo(url, "jetclaw-cli", createLog({ level: "error" }));
  try {
    const { config } = await loadConfig(readSettings(), { callsModels: false, asks: "nothing" });
    return await work(deadLettersOf(bus, await provisionFor(bus, config)));
  } finally {
    await bus.close();
  }
}
