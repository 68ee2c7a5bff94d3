/**
 * Every stream, subject, bucket and consumer name is built here and nowhere else.
 * Arguments are raw ids unless they end in `Token`.
 */
import { PARTITIONS, partitionOf, shardOf, tokenOf } from "./ids.ts";

export const CLASSES = ["ongoing", "new", "deferred"] as const;
/** Priority of a job, derived from the conversation's status and channel. */
export type PriorityClass = (typeof CLASSES)[number];
export type Lane = 0 | 1;

export interface ActorAddress {
  readonly kind: string;
  readonly tenant: string;
  readonly key: string;
}

/** An actor's address as tokens with its partition: computed once, used for every subject of the actor. */
export interface ActorRoute extends ActorAddress {
  readonly partition: number;
  /** `<kind>.<tenant>.<key>` as tokens: its key in the KV bucket of its shard. */
  readonly path: string;
}

export function routeOf(address: ActorAddress): ActorRoute {
  const kind = tokenOf(address.kind);
  const tenant = tokenOf(address.tenant);
  const key = tokenOf(address.key);
  return { ...address, partition: partitionOf(kind, tenant, key), path: `${kind}.${tenant}.${key}` };
}

export const inboundStream = (shard: number): string => `INBOUND-${shard}`;
export const inboundSubject = (route: ActorRoute): string => `in.${route.partition}.${route.path}`;
export const inboundFilter = (partition: number): string => `in.${partition}.>`;
export const timerSubject = (route: ActorRoute, timer: string): string =>
  `sched.${route.partition}.${route.path}.${tokenOf(timer)}`;
/** All pending timers of an actor. */
export const timerFilter = (route: ActorRoute): string => `sched.${route.partition}.${route.path}.*`;
/** The name that carries the epoch: deleting it voids the old owner's acks. */
export const partitionConsumer = (partition: number, epoch: number): string => `p${partition}-e${epoch}`;

/** Reads `in.<partition>.<kind>.<tenant>.<key>` back; undefined for anything else. */
export function parseInbound(
  subject: string,
): { partition: number; path: string; partitionOfPath: number } | undefined {
  const parts = subject.split(".");
  if (parts.length !== 5 || parts[0] !== "in") return undefined;
  const [, partition, kind, tenant, key] = parts as [string, string, string, string, string];
  return {
    partition: Number(partition),
    path: `${kind}.${tenant}.${key}`,
    partitionOfPath: partitionOf(kind, tenant, key),
  };
}

/** Subjects of one shard of INBOUND: messages and schedules of its partitions. */
export function inboundSubjects(shard: number, shards: number): string[] {
  const own = Array.from({ length: PARTITIONS }, (_, p) => p).filter((p) => shardOf(p, shards) === shard);
  return own.flatMap((p) => [`in.${p}.>`, `sched.${p}.>`]);
}

export const actorsBucket = (shard: number): string => `actors-${shard}`;
/** Key beside an actor's record: a copy of what its next activation would have to gather from streams. */
export const keptKey = ({ path }: Pick<ActorRoute, "path">): string => `${path}.kept`;
/** All of them that actors of a kind have, and the tenant's token in one of these keys. */
export const keptFilter = (kind: string): string => `${tokenOf(kind)}.*.*.kept`;
export const tenantOfKept = (key: string): string => key.split(".")[1] ?? "";

export const inferStream = (pool: string): string => `INFER-${tokenOf(pool)}`;
export const inferFilter = (pool: string): string => `infer.${tokenOf(pool)}.>`;
export const inferLaneFilter = (pool: string, cls: PriorityClass, lane: Lane): string =>
  `infer.${tokenOf(pool)}.${cls}.${lane}.>`;
export const inferConsumer = (cls: PriorityClass, lane: Lane): string => `${cls}-${lane}`;
export const inferSubject = (job: {
  pool: string;
  cls: PriorityClass;
  lane: Lane;
  tenant: string;
  session: string;
}): string =>
  `infer.${tokenOf(job.pool)}.${job.cls}.${job.lane}.${tokenOf(job.tenant)}.${tokenOf(job.session)}`;
/** A session's queued jobs of any class and lane, to purge them. */
export const inferSessionFilter = (pool: string, tenant: string, session: string): string =>
  `infer.${tokenOf(pool)}.*.*.${tokenOf(tenant)}.${tokenOf(session)}`;
/**
 * Jobs for a model's batch API stand beside the lanes: no consumer of a worker sees them, and what is done to all jobs of
 * a session is done to them too.
 */
export const inferOfflineSubject = (
  job: { pool: string; tenant: string; session: string },
  model: string,
): string =>
  `infer.${tokenOf(job.pool)}.offline.${tokenOf(model)}.${tokenOf(job.tenant)}.${tokenOf(job.session)}`;
/** Those of a model, or of all models of the pool. */
export const inferOfflineFilter = (pool: string, model?: string): string =>
  `infer.${tokenOf(pool)}.offline.${model === undefined ? "*" : tokenOf(model)}.>`;
/** Rings when a lane was given a job: the headers of the job, without its body. */
export const bellLaneFilter = (pool: string, cls: PriorityClass, lane: Lane): string =>
  `bell.${tokenOf(pool)}.${cls}.${lane}.>`;
/** Rings when a job was put beside the lanes for a model's batches. */
export const bellOfflineFilter = (pool: string, model: string): string =>
  `bell.${tokenOf(pool)}.offline.${tokenOf(model)}.>`;
/** A bell that a worker without room rings for another one. */
export const bellPassed = (pool: string, cls: PriorityClass, lane: Lane): string =>
  `bell.${tokenOf(pool)}.${cls}.${lane}.passed`;

export const TOKENS = "TOKENS";
export const tokensSubject = (tenant: string, session: string, turn: number): string =>
  `tok.${tokenOf(tenant)}.${tokenOf(session)}.${turn}`;
export const tokensSessionFilter = (tenant: string, session: string): string =>
  `tok.${tokenOf(tenant)}.${tokenOf(session)}.*`;

export const turnsStream = (shard: number): string => `TURNS-${shard}`;
export const turnsFilter = (shard: number): string => `turn.${shard}.>`;
/** Everything TURNS holds: records, and the ids of messages that were answered. */
export const turnsSubjects = (shard: number): string[] => [turnsFilter(shard), `ids.${shard}.>`];
export const turnSubject = (shard: number, channel: string, tenant: string, session: string): string =>
  `turn.${shard}.${tokenOf(channel)}.${tokenOf(tenant)}.${tokenOf(session)}`;
/** Whose records: of a tenant, by its id or by the token it has in subjects, or of all. */
export type TenantChoice = string | { readonly token: string } | undefined;
const tenantToken = (tenant: TenantChoice): string =>
  tenant === undefined ? "*" : typeof tenant === "string" ? tokenOf(tenant) : tenant.token;
export const turnsTenantFilter = (shard: number, tenant: TenantChoice): string =>
  `turn.${shard}.*.${tenantToken(tenant)}.*`;
export const idsTenantFilter = (shard: number, tenant: TenantChoice): string =>
  `ids.${shard}.${tenantToken(tenant)}.*`;
/** The tenant's token in the subject of a record. */
export const tenantOfTurn = (subject: string): string => subject.split(".")[3] ?? "";
/** A session's records on every channel. */
export const turnSessionFilter = (shard: number, tenant: string, session: string): string =>
  `turn.${shard}.*.${tokenOf(tenant)}.${tokenOf(session)}`;

/** Ids of a session's messages, written down a hundred at a time: where an old repeat is looked up. */
export const idsSubject = (shard: number, tenant: string, session: string): string =>
  `ids.${shard}.${tokenOf(tenant)}.${tokenOf(session)}`;

/** What is left of an erased session besides its tombstone. */
export const RECEIPTS = "RECEIPTS";
export const receiptSubject = (tenant: string, session: string): string =>
  `receipt.${tokenOf(tenant)}.${tokenOf(session)}`;

export const KNOWLEDGE = "KNOWLEDGE";
export const knowledgeSubject = (tenant: string, collection: string, document: string): string =>
  `kb.${tokenOf(tenant)}.${tokenOf(collection)}.${tokenOf(document)}`;
export const knowledgeFilter = (tenant?: string, collection?: string): string =>
  `kb.${tenant === undefined ? "*" : tokenOf(tenant)}.${collection === undefined ? "*" : tokenOf(collection)}.*`;

/** Rings when a document was stored: the headers of the change, without its body. */
export const KNOWLEDGE_BELL = { source: "kb.>", destination: "changed.>" } as const;

/** Vectors of documents, a record each. A space names what may be compared: a model, and its dimensions if asked for. */
export const VECTORS = "VECTORS";
export const vectorsSubject = (space: string, tenant: string, collection: string, document: string): string =>
  `vec.${tokenOf(space)}.${tokenOf(tenant)}.${tokenOf(collection)}.${tokenOf(document)}`;
export const vectorsFilter = (space: string, tenant?: string): string =>
  `vec.${tokenOf(space)}.${tenant === undefined ? "*" : tokenOf(tenant)}.*.*`;
/**
 * A mark among the records of a space: the vectors of everything up to some change of KNOWLEDGE stand before it. No id
 * has its tokens.
 */
export const vectorsMark = (space: string): string => `vec.${tokenOf(space)}.~.~.indexed`;
/** The marks of all spaces. */
export const vectorsMarks = "vec.*.~.~.indexed";
/** Everything of a space: records and mark. */
export const vectorsSpace = (space: string): string => `vec.${tokenOf(space)}.>`;
/** The reader of KNOWLEDGE that makes the vectors of a space. */
export const indexerConsumer = (space: string): string => `indexer-${tokenOf(space)}`;

export const DEADLETTER = "DEADLETTER";
/** One dead letter: the reference is the last token, so that the same message given up again replaces it. */
export const deadLetterSubject = (stream: string, actor: ActorAddress, reference: string): string =>
  `dead.${tokenOf(stream)}.${tokenOf(actor.kind)}.${tokenOf(actor.tenant)}.${tokenOf(actor.key)}.${reference}`;

/** What may be said of the dead letters that are meant; what is left out may be anything. */
export interface DeadLetterQuery {
  readonly stream?: string | undefined;
  readonly kind?: string | undefined;
  readonly tenant?: string | undefined;
  readonly key?: string | undefined;
  readonly reference?: string | undefined;
}
export function deadLetterFilter({ stream, kind, tenant, key, reference }: DeadLetterQuery): string {
  const tokens = [stream, kind, tenant, key, reference].map((each) =>
    each === undefined ? "*" : tokenOf(each),
  );
  return `dead.${tokens.join(".")}`;
}

/**
 * Dead letter of bytes that nobody can read: of their ids only the tokens in their subject are known.
 * `kind` is that of the actor behind a job, whose subject does not name it, or stands for what is no actor.
 */
export function deadLetterSubjectOf(
  stream: string,
  subject: string,
  kind: string,
  reference: string,
): string {
  const parts = subject.split(".");
  const known =
    parts[0] === "in" && parts.length === 5
      ? parts.slice(2)
      : parts[0] === "infer" && parts.length === 6
        ? [tokenOf(kind), ...parts.slice(4)]
        : parts[0] === "kb" && parts.length === 4
          ? [tokenOf(kind), parts[1], parts[3]]
          : ["unknown", "unknown", "unknown"];
  return `dead.${tokenOf(stream)}.${known.join(".")}.${reference}`;
}

/** Buckets that are not sharded. */
export const BUCKETS = {
  cache: "cache",
  config: "config",
  placement: "placement",
  models: "models",
  keys: "keys",
  deliveries: "deliveries",
  batches: "batches",
  confirmed: "confirmed",
} as const;

/** Key in the bucket `placement`, where its lease is: vectors of a space are being replaced, or were in part. */
export const unfinishedKey = (space: string): string => `reindex.${tokenOf(space)}`;

/** The stream of a bucket and the subject of a key in it, for who follows it. */
export const bucketStream = (bucket: string): string => `KV_${bucket}`;
export const bucketSubject = (bucket: string, key: string): string => `$KV.${bucket}.${key}`;

/** Keys in the bucket `deliveries`: what channels know of the delivery of a session's replies. */
export const deliveryKey = (tenant: string, session: string, delivery: string): string =>
  `${tokenOf(tenant)}.${tokenOf(session)}.${tokenOf(delivery)}`;

/** Key in the bucket `models`: what one worker sees of one model. */
export const modelHealthKey = (health: { pool: string; model: string; worker: string }): string =>
  `${tokenOf(health.pool)}.${tokenOf(health.model)}.${tokenOf(health.worker)}`;

/** Key in the bucket `batches`: a model's batches that are at the provider, or on their way. */
export const batchesKey = (pool: string, model: string): string => `${tokenOf(pool)}.${tokenOf(model)}`;

/** Key in the same bucket: what a provider still holds of a batch that is over; `*` for all of a model's. */
export const leftoverKey = (pool: string, model: string, mark: string): string =>
  `${batchesKey(pool, model)}.left.${mark}`;

/** Core NATS subjects: nothing on them is stored. */
export const CORE = {
  /** A host takes part in placement. */
  heartbeat: "member.host",
  /** A worker or reader says it lives: `beat.<role>`. */
  roleHeartbeat: (role: string): string => `beat.${role}`,
  /** One of a cluster's clients says that its server belongs to the majority. */
  quorum: "quorum",
  /** Asks every role to say at once that it lives. */
  rollCall: "roll.call",
  /** Processes that share a durable reader make themselves known to each other. */
  readers: (name: string): string => `readers.${name}`,
  /** Heard by one of them for as long as it lives. */
  reader: (name: string, instance: string): string => `readers.${name}.${tokenOf(instance)}`,
  /** Asks a process to drain. */
  drain: (instance: string): string => `drain.${tokenOf(instance)}`,
  /** Questions to the role `retrieval`, shared by its processes. */
  retrieval: "retrieval.ask",
  /** What the active governor measured, every round. */
  load: "load.report",
  /** Stop of a session's running answer, heard by the worker. */
  control: (tenant: string, session: string): string => `ctl.${tokenOf(tenant)}.${tokenOf(session)}`,
  controlAll: "ctl.*.*",
  /** A question that several asked at once has its answer, or will have none. */
  cacheLanded: "cache.landed",
  /** Hosts say what their caches hold. */
  cacheStatus: "cache.status",
  /** One host says what the caches would do with a question. */
  cacheExplain: "cache.explain",
  /** Where a gateway hears of a job without an actor. Outside of what streams capture: nobody resumes it. */
  reply: (gateway: string, id: string): string => `reply.${tokenOf(gateway)}.${tokenOf(id)}`,
  replyAll: (gateway: string): string => `reply.${tokenOf(gateway)}.*`,
} as const;
