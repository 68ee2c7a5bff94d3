/** The deployment's status, read where each part of it is kept; nothing is remembered here but who was heard. */
import {
  DEADLETTER,
  inboundStream,
  inferStream,
  KNOWLEDGE,
  TOKENS,
  turnsStream,
} from "#contracts/subjects.ts";
import type { Clock } from "#runtime/clock.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { streamState } from "#runtime/nats/reader.ts";
import type { Presence } from "#runtime/observe/presence.ts";
import type { AdminSource, AdminStatus, PlacementSummary, StreamDepth } from "./port.ts";

export interface AdminSourceOptions {
  readonly bus: Bus;
  readonly shards: number;
  readonly pools: readonly string[];
  readonly presence: Presence;
  readonly clock: Clock;
  /** Reads the placement document; undefined while there is none. */
  readonly placement: () => Promise<PlacementSummary | undefined>;
}

export function createAdminSource({
  bus,
  shards,
  pools,
  presence,
  clock,
  placement,
}: AdminSourceOptions): AdminSource {
  const numbers = Array.from({ length: shards }, (_, shard) => shard);
  const streams = [
    ...numbers.map(inboundStream),
    ...pools.map(inferStream),
    ...numbers.map(turnsStream),
    KNOWLEDGE,
    TOKENS,
    DEADLETTER,
  ];
  return {
    async status(): Promise<AdminStatus> {
      const [placed, ...depths] = await Promise.all([
        placement(),
        ...streams.map((name) => depthOf(bus, name)),
      ]);
      return {
        at: clock.now(),
        roles: presence.live().sort((a, b) => a.role.localeCompare(b.role) || a.startedAt - b.startedAt),
        streams: depths,
        ...(placed ? { placement: placed } : {}),
      };
    },
  };
}

async function depthOf(bus: Bus, name: string): Promise<StreamDepth> {
  const { messages, bytes, consumers } = await streamState(bus, name);
  return { name, messages, bytes, consumers };
}
