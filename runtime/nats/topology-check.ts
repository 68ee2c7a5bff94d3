/** Compares what a server holds with what the topology declares, and changes nothing. */
import { JetStreamApiError, type StreamConfig } from "@nats-io/jetstream";
import { decode } from "#contracts/codec.ts";
import { BUCKETS } from "#contracts/subjects.ts";
import { type Bus, natsError } from "./connect.ts";
import { Kv } from "./kv.ts";
import { type Deployment, declareStreams } from "./topology.ts";

export interface TopologyCheck {
  readonly total: number;
  readonly missing: readonly string[];
  /** Name of a stream and what of it differs. */
  readonly different: readonly string[];
}

const NO_STREAM = 10059;
const UNPROVISIONED: Deployment = { shards: 1, replicas: 1 };

/** @throws JetclawError `nats.unavailable` */
export async function checkTopology(bus: Bus, pools: readonly string[]): Promise<TopologyCheck> {
  const declared = declareStreams((await deploymentOf(bus)) ?? UNPROVISIONED, pools);
  const missing: string[] = [];
  const different: string[] = [];
  for (const wish of declared) {
    const config = await configOf(bus, wish.name);
    if (!config) missing.push(wish.name);
    else {
      const fields = Object.entries(wish).filter(
        ([field, value]) => JSON.stringify(value) !== JSON.stringify(config[field as keyof StreamConfig]),
      );
      if (fields.length > 0) different.push(`${wish.name} (${fields.map(([field]) => field).join(", ")})`);
    }
  }
  return { total: declared.length, missing, different };
}

/** How far the server's clock, by which timers go off, is ahead of ours; undefined where it does not say. */
export async function serverAheadMs(bus: Bus): Promise<number | undefined> {
  const info: { ts?: string } = await bus.jsm.streams.info(`KV_${BUCKETS.config}`);
  const at = Date.parse(info.ts ?? "");
  return Number.isNaN(at) ? undefined : at - Date.now();
}

async function deploymentOf(bus: Bus): Promise<Deployment | undefined> {
  if (!(await configOf(bus, `KV_${BUCKETS.config}`))) return undefined;
  const { value } = await new Kv(bus, BUCKETS.config).getFromLeader("deployment");
  return value ? decode<Deployment>(value) : undefined;
}

async function configOf(bus: Bus, stream: string): Promise<StreamConfig | undefined> {
  try {
    return (await bus.jsm.streams.info(stream)).config;
  } catch (error) {
    if (error instanceof JetStreamApiError && error.code === NO_STREAM) return undefined;
    throw natsError(error);
  }
}
