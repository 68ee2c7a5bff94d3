/** Partitions by host, from the placement document. */
import type { PlacementSummary } from "#actors/gateway/port.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { PlacementStore } from "#runtime/placement/document.ts";

/** Undefined before a host wrote the first document. @throws JetclawError `nats.unavailable` */
export async function readPlacement(bus: Bus): Promise<PlacementSummary | undefined> {
  const { partitions, revision } = await new PlacementStore(bus).read();
  if (revision === 0) return undefined;
  const byHost = new Map<string, { partitions: number[]; leaving: number[] }>();
  const unowned: number[] = [];
  for (const [partition, { owner, next }] of partitions.entries()) {
    if (owner === undefined) {
      unowned.push(partition);
      continue;
    }
    const host = byHost.get(owner) ?? { partitions: [], leaving: [] };
    host.partitions.push(partition);
    if (next !== undefined) host.leaving.push(partition);
    byHost.set(owner, host);
  }
  const hosts = [...byHost].map(([host, owned]) => ({ host, ...owned }));
  return {
    revision,
    hosts: hosts.sort((a, b) => a.host.localeCompare(b.host)),
    unowned,
    epochs: partitions.map(({ epoch }) => epoch),
  };
}
