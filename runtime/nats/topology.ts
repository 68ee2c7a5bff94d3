/**
 * Every stream and bucket, declared once and reconciled idempotently: what is missing is created, what may change is
 * updated, what may not is refused with the reason. The number of shards is fixed by the first provisioning.
 */
import {
  DiscardPolicy,
  JetStreamApiError,
  RetentionPolicy,
  StorageType,
  StoreCompression,
  type StreamConfig,
} from "@nats-io/jetstream";
import { RequestError, TimeoutError } from "@nats-io/transport-node";
import { decode, encode } from "#contracts/codec.ts";
import { JetclawError } from "#contracts/errors.ts";
import { LIMITS } from "#contracts/limits.ts";
import {
  actorsBucket,
  BUCKETS,
  DEADLETTER,
  inboundStream,
  inboundSubjects,
  inferFilter,
  inferStream,
  KNOWLEDGE,
  KNOWLEDGE_BELL,
  RECEIPTS,
  TOKENS,
  turnsStream,
  turnsSubjects,
  VECTORS,
} from "#contracts/subjects.ts";
import { type Bus, natsError } from "./connect.ts";
import { Kv } from "./kv.ts";

const ms = (value: number): number => value * 1e6;
const DEFAULT_SHARDS = 4;
/** Said, so that what was made compressed before goes on plain: a server that is killed spoils compressed files. */
const PLAIN = StoreCompression.None;

export interface Deployment {
  /** Numbered copies of the streams. */
  readonly shards: number;
  readonly replicas: number;
}

type Declared = Partial<StreamConfig> & { name: string; subjects: string[] };

function bucket(name: string, options: { ttl?: boolean; history?: number } = {}): Declared {
  return {
    name: `KV_${name}`,
    subjects: [`$KV.${name}.>`],
    max_msgs_per_subject: options.history ?? 1,
    discard: DiscardPolicy.New,
    allow_rollup_hdrs: true,
    deny_delete: true,
    allow_direct: true,
    ...(options.ttl ? { allow_msg_ttl: true, subject_delete_marker_ttl: ms(60_000) } : {}),
  };
}

function sharded(shard: number, shards: number): Declared[] {
  return [
    {
      name: inboundStream(shard),
      subjects: inboundSubjects(shard, shards),
      retention: RetentionPolicy.Workqueue,
      allow_msg_schedules: true,
      allow_msg_ttl: true,
      allow_rollup_hdrs: true,
      allow_direct: true,
    },
    bucket(actorsBucket(shard), { ttl: true }),
    {
      name: turnsStream(shard),
      subjects: turnsSubjects(shard),
      compression: PLAIN,
      allow_direct: true,
      duplicate_window: ms(LIMITS.dedupeWindowMs),
    },
  ];
}

const infer = (pool: string): Declared => ({
  name: inferStream(pool),
  subjects: [inferFilter(pool)],
  retention: RetentionPolicy.Workqueue,
  duplicate_window: ms(LIMITS.dedupeWindowMs),
  allow_direct: true,
  republish: {
    src: inferFilter(pool),
    dest: `bell.${inferFilter(pool).slice("infer.".length)}`,
    headers_only: true,
  },
});

const common = (): Declared[] => [
  {
    name: TOKENS,
    subjects: ["tok.>"],
    storage: StorageType.Memory,
    max_age: ms(LIMITS.tokensAgeMs),
    max_bytes: 256 * 1024 * 1024,
    discard: DiscardPolicy.Old,
    allow_direct: true,
    num_replicas: 1,
  },
  {
    name: KNOWLEDGE,
    subjects: ["kb.>"],
    max_msgs_per_subject: 1,
    allow_direct: true,
    compression: PLAIN,
    republish: { src: KNOWLEDGE_BELL.source, dest: KNOWLEDGE_BELL.destination, headers_only: true },
  },
  {
    // Vectors do not compress; a record goes with its document, so there is no other bound.
    name: VECTORS,
    subjects: ["vec.>"],
    max_msgs_per_subject: 1,
    allow_direct: true,
  },
  {
    name: DEADLETTER,
    subjects: ["dead.>"],
    max_age: ms(LIMITS.deadLetterAgeMs),
    max_msgs_per_subject: 1,
    allow_direct: true,
  },
  {
    name: RECEIPTS,
    subjects: ["receipt.>"],
    max_age: ms(LIMITS.tombstoneAgeMs),
    allow_direct: true,
  },
  bucket(BUCKETS.cache, { ttl: true }),
  bucket(BUCKETS.config),
  bucket(BUCKETS.placement, { ttl: true }),
  bucket(BUCKETS.models, { ttl: true }),
  bucket(BUCKETS.keys, { ttl: true }),
  bucket(BUCKETS.deliveries, { ttl: true }),
  bucket(BUCKETS.batches),
  bucket(BUCKETS.confirmed, { ttl: true }),
];

/** The whole declaration. Pools may be added later without touching the rest. */
export function declareStreams(deployment: Deployment, pools: readonly string[]): Declared[] {
  const shards = Array.from({ length: deployment.shards }, (_, s) => sharded(s, deployment.shards)).flat();
  return [...shards, ...common(), ...pools.map(infer)].map((d) => ({
    num_replicas: deployment.replicas,
    ...d,
  }));
}

const DEPLOYMENT_KEY = "deployment";

/**
 * Brings the server to the declaration. The shards of an existing deployment win over the wish; asking for others is
 * refused. Safe to run at once by many processes.
 * @throws JetclawError `start.refused`, `nats.unavailable`
 */
export async function provision(
  bus: Bus,
  wish: { shards?: number | undefined; replicas?: number | undefined; pools: readonly string[] },
): Promise<Deployment> {
  const config = new Kv(bus, BUCKETS.config);
  const known = await deploymentOf(bus, wish.replicas ?? 1);
  if (known && wish.shards !== undefined && wish.shards !== known.shards)
    throw new JetclawError(
      "start.refused",
      `this deployment has ${known.shards} shards, fixed when it was provisioned; configure shards: ${known.shards}`,
    );
  const deployment: Deployment = {
    shards: known?.shards ?? wish.shards ?? DEFAULT_SHARDS,
    replicas: wish.replicas ?? known?.replicas ?? 1,
  };
  await Promise.all(declareStreams(deployment, wish.pools).map((declared) => reconcile(bus, declared)));
  if (!known || known.replicas !== deployment.replicas)
    await soon(() => config.put(DEPLOYMENT_KEY, encode(deployment)));
  return deployment;
}

/**
 * What was provisioned here. Makes and changes nothing: whoever only looks may have another configuration, or an address
 * that is not a deployment's.
 * @throws JetclawError `deployment.missing`, `nats.unavailable`
 */
export async function readDeployment(bus: Bus): Promise<Deployment> {
  const subject = new Kv(bus, BUCKETS.config).subjectOf(DEPLOYMENT_KEY);
  const answer = await bus.leaderGet(`KV_${BUCKETS.config}`, { last_by_subj: subject });
  if (typeof answer === "string") throw new JetclawError("deployment.missing");
  return readRecord(answer.data);
}

/** @throws JetclawError `start.refused` where it is no record of ours */
function readRecord(data: Uint8Array): Deployment {
  try {
    return decode<Deployment>(data);
  } catch (cause) {
    throw new JetclawError(
      "start.refused",
      `the record "${DEPLOYMENT_KEY}" in the bucket ${BUCKETS.config} cannot be read: it was made by something else, or by another version`,
      { cause },
    );
  }
}

/** What the first provisioning fixed. The bucket is made where it is missing and otherwise left as it is. */
async function deploymentOf(bus: Bus, replicas: number): Promise<Deployment | undefined> {
  // Reconciled before it is read, a process that names no replicas would take those of a cluster away.
  await create(bus, { ...bucket(BUCKETS.config), num_replicas: replicas });
  const { value } = await soon(() => new Kv(bus, BUCKETS.config).getFromLeader(DEPLOYMENT_KEY));
  return value ? readRecord(value) : undefined;
}

/** TOKENS lives in memory: after a server restart it is gone and made again. */
export async function ensureTokens(bus: Bus): Promise<void> {
  for (const declared of common()) if (declared.name === TOKENS) await reconcile(bus, declared);
}

async function reconcile(bus: Bus, declared: Declared): Promise<void> {
  try {
    const { config } = await bus.jsm.streams.info(declared.name);
    const fixed = (["retention", "storage"] as const).find(
      (k) => declared[k] !== undefined && declared[k] !== config[k],
    );
    if (fixed)
      throw new JetclawError(
        "start.refused",
        `stream ${declared.name} has ${fixed} ${config[fixed]}, not ${declared[fixed]}; it was not made by jetclaw`,
      );
    if (differs(declared, config)) await bus.jsm.streams.update(declared.name, declared);
  } catch (error) {
    if (error instanceof JetclawError) throw error;
    if (!(error instanceof JetStreamApiError) || error.code !== 10059) throw refusedOr(error, declared);
    await create(bus, declared);
  }
}

/** Made by somebody else a moment ago. */
const NAME_IN_USE = 10058;
/** No suitable peers, no leader: a cluster whose nodes have not all found each other yet. */
const NOT_READY = new Set([10005, 10008]);
const READY_LIMIT_MS = 30_000;
const READY_PAUSE_MS = 500;
/** A stream that a cluster has just made is known on all its nodes. */
const SOON_MS = 5_000;
const SOON_PAUSE_MS = 50;

/** A server outside of a cluster keeps one copy. */
const NO_REPLICAS = 10074;
/** Of memory or files, by its limits or the disk. */
const NO_ROOM = new Set([10023, 10028, 10047]);

/** What waiting does not mend says what does. */
function refusedOr(error: unknown, { name, num_replicas: replicas }: Declared): JetclawError {
  const code = error instanceof JetStreamApiError ? error.code : 0;
  const why =
    code === NO_REPLICAS
      ? `replicas: ${replicas} needs a cluster, and this NATS server is alone; configure replicas: 1, or name a cluster's servers`
      : NO_ROOM.has(code)
        ? `NATS has no room for the stream ${name}; raise its max_file_store and max_memory_store, or make room on its disk`
        : undefined;
  return why === undefined ? natsError(error) : new JetclawError("start.refused", why, { cause: error });
}

/** Repeats what a stream that was just made refuses because not every node knows of it. */
async function soon<T>(work: () => Promise<T>): Promise<T> {
  for (const until = performance.now() + SOON_MS; ; ) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof JetclawError) || error.code !== "nats.unavailable" || performance.now() > until)
        throw error;
      await new Promise((next) => setTimeout(next, SOON_PAUSE_MS));
    }
  }
}

/** @throws JetclawError `nats.unavailable`, from a cluster only when it has not formed in time */
async function create(bus: Bus, declared: Declared): Promise<void> {
  for (const until = performance.now() + READY_LIMIT_MS; ; ) {
    try {
      await bus.jsm.streams.add(declared);
      return;
    } catch (error) {
      const code = error instanceof JetStreamApiError ? error.code : 0;
      if (code === NAME_IN_USE) return;
      // A question is not answered when the meta leader changes: made or not, it is asked for once more.
      const again = NOT_READY.has(code) || error instanceof TimeoutError || error instanceof RequestError;
      if (!again || !bus.connected || performance.now() > until) throw refusedOr(error, declared);
      bus.log.warn({ stream: declared.name, err: natsError(error) }, "the NATS cluster is not whole yet");
      await new Promise((next) => setTimeout(next, READY_PAUSE_MS));
    }
  }
}

function differs(declared: Declared, config: StreamConfig): boolean {
  return Object.entries(declared).some(
    ([key, value]) => JSON.stringify(value) !== JSON.stringify(config[key as keyof StreamConfig]),
  );
}
