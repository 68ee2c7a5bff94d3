/** Partitions by host, from the placement document. */
import type { PlacementSummary } from "#actors/gateway/port.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { PlacementStore } from "#runtime/placement/document.ts";

/** Undefined before a host wrote the first document. @throws JetclawError `nats.unavailable` */
export async function readPlacement(bus: Bus): Promise<PlacementSummary | undefined> {
  const { partitions, revision } = await new PlacementStore(bus).read();
  if (revision === 0) return undefined;
  const byHost = new Map<string, number[]>();
  const unowned: number[] = [];
  for (const [partition, { owner }] of partitions.entries()) {
    if (owner === undefined) unowned.push(partition);
    else byHost.set(owner, [...(byHost.get(owner) ?? []), partition]);
  }
  const hosts = [...byHost].map(([host, owned]) => ({ host, partitions: owned }));
  return { revision, hosts: hosts.sort((a, b) => a.host.localeCompare(b.host)), unowned };
}
