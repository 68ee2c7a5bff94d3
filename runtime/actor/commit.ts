/** Loading and committing the record: one compare-and-set, and what a refusal or a silence of the store means. */
import { JetclawError } from "#contracts/errors.ts";
import { LIMITS } from "#contracts/limits.ts";
import type { ActorRoute } from "#contracts/subjects.ts";
import { StaleRevision } from "../nats/connect.ts";
import { shardOfRoute } from "../nats/inbound.ts";
import { messageAt } from "../nats/reader.ts";
import { killPoint } from "../observe/kill-point.ts";
import { metrics } from "../observe/metrics.ts";
import type { ActorKind } from "./define.ts";
import { HandlerFailed } from "./handled.ts";
import type { HostContext } from "./host.ts";
import { readKept } from "./kept.ts";
import { publishOutbox } from "./outbox.ts";
import { type ActorRecord, decodeRecord, encodeRecord, type NextRecord, ProcessedIds } from "./record.ts";
import { retrying } from "./retrying.ts";

export interface Loaded {
  record: ActorRecord;
  /** KV revision of the record; 0 where none is stored. It is the fence. */
  revision: number;
  /** Revision of the record when a copy was kept beside it; undefined where none is known. */
  keptAt?: number | undefined;
}

/** Waits between two writes of the same commit, doubled each time. */
const FIRST_WAIT_MS = 20;
const LONGEST_WAIT_MS = 2_000;

/** A partition as its activations see it. */
export interface Owned {
  /** Aborted when ownership ends. */
  readonly signal: AbortSignal;
  /** Aborted when no new work is begun any more: by a drain, or by the end of ownership. */
  readonly draining: AbortSignal;
  /** True while the placement document, read from the leader, names this host at this epoch. */
  stillOwned(): Promise<boolean>;
  /** Ends ownership at once. */
  lost(reason: string): void;
}

/** Ownership was lost while working: stop at once, write nothing, ack nothing. */
export class Evicted extends Error {}

/** A commit proves ownership for so long: nobody takes over from a host before it is suspected. */
const PROOF_MS = LIMITS.suspectMs / 2;

/** Asks the placement where the last proof of ownership is too old: this process may have stood still since. */
export function ownerSince(host: HostContext, owned: Owned, provenAt: number): () => Promise<void> {
  let lastAt = provenAt;
  return async () => {
    const askedAt = host.clock.now();
    if (Math.abs(askedAt - lastAt) < PROOF_MS) return;
    if (!(await owned.stillOwned())) {
      owned.lost("another host owns it since the commit");
      throw new Evicted();
    }
    lastAt = askedAt;
  };
}

/**
 * Reads the record as its leader has it: a stale replica could miss processed ids or timers.
 * @throws JetclawError `actor.state-newer`
 */
export async function load(
  host: HostContext,
  kind: ActorKind,
  route: ActorRoute,
  signal: AbortSignal,
): Promise<Loaded> {
  const kv = host.kvOf(shardOfRoute(route, host.deployment));
  // A single replica is its own leader, and a direct read costs both sides a fraction.
  const single = host.deployment.replicas === 1 || host.unsafe.staleReads;
  const entry = await retrying(host.log, signal, "load an actor", () =>
    single ? kv.get(route.path) : kv.getFromLeader(route.path),
  );
  if (!entry.value)
    return {
      revision: entry.revision,
      record: {
        state: kind.initial(),
        stateVersion: kind.version,
        processed: new ProcessedIds(),
        outbox: [],
        seq: 0,
        timers: {},
        attempts: {},
        givenUp: [],
        floor: 0,
      },
    };
  const record = decodeRecord(entry.value);
  if (record.stateVersion !== kind.version) record.state = kind.upgrade(record.state, record.stateVersion);
  return { revision: entry.revision, record };
}

/** Loads the record and publishes its stored outbox before anything else may happen. */
export async function activate(
  host: HostContext,
  kind: ActorKind,
  route: ActorRoute,
  stream: string,
  owned: Owned,
): Promise<Loaded> {
  const { signal } = owned;
  const loaded = await load(host, kind, route, signal);
  const paused = killPoint("host.afterLoad");
  if (paused) await paused;
  const { record } = loaded;
  if (record.outbox.length > 0 && !host.unsafe.dropOutbox) {
    // Acknowledged means published; only the leader may be asked, a follower can be behind.
    const single = host.deployment.replicas === 1;
    const pending = await retrying<unknown>(host.log, signal, "read the message of an outbox", () =>
      single ? host.bus.directAt(stream, record.seq) : messageAt(host.bus, stream, record.seq),
    );
    if (pending) {
      metrics.republished({ kind: kind.kind });
      await publishOutbox(host.bus, record.outbox, { signal, stillOwner: ownerSince(host, owned, 0) });
    }
  }
  record.outbox = [];
  if (kind.recall && loaded.revision > 0) {
    const kept = async (): Promise<unknown> => {
      const found = await readKept(host.kvOf(shardOfRoute(route, host.deployment)), route);
      loaded.keptAt = found?.at;
      return found?.data;
    };
    record.state = await retrying(host.log, signal, "read what a state leaves in streams", async () =>
      kind.recall?.(record.state, route, kept),
    );
  }
  return loaded;
}

/**
 * Writes the next record over the revision that was loaded.
 * `committed`: stored, also when only the acknowledgement was lost. `stale`: somebody wrote, yet we own the actor.
 * `lost`: another host owns it.
 */
export async function commit(
  host: HostContext,
  route: ActorRoute,
  loaded: Loaded,
  owned: Owned,
  next: NextRecord,
  mostBytes?: number,
): Promise<"committed" | "stale" | "lost"> {
  const bytes = encoded(next, mostBytes);
  const kv = host.kvOf(shardOfRoute(route, host.deployment));
  for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(LONGEST_WAIT_MS, waitMs * 2)) {
    owned.signal.throwIfAborted();
    try {
      // A control run writes over whatever another host has written, to prove that this would be found out.
      loaded.revision = host.unsafe.ignoreFence
        ? await kv.put(route.path, bytes)
        : await kv.update(route.path, bytes, loaded.revision, next.ttlMs ? { ttlMs: next.ttlMs } : {});
      adopt(loaded.record, next);
      return "committed";
    } catch (error) {
      const unavailable = error instanceof JetclawError && error.code === "nats.unavailable";
      if (!unavailable && !(error instanceof StaleRevision)) throw error;
      const entry = await retrying(host.log, owned.signal, "read a commit back", () =>
        kv.getFromLeader(route.path),
      );
      if (entry.value && decodeRecord(entry.value).op === next.op) {
        loaded.revision = entry.revision;
        adopt(loaded.record, next);
        return "committed";
      }
      // The write may still be under way: writing the same bytes over the same revision again can only succeed once.
      if (entry.revision === loaded.revision) {
        // A store that is full refuses at once: all its actors together must not keep it busy with that.
        await host.clock.sleep(waitMs * (0.5 + host.clock.random()), owned.signal);
        continue;
      }
      return (await retrying(host.log, owned.signal, "read the placement", () => owned.stillOwned()))
        ? "stale"
        : "lost";
    }
  }
}

function adopt(record: ActorRecord, next: NextRecord): void {
  record.state = next.state;
  record.stateVersion = next.stateVersion;
  record.processed = next.processed;
  for (const id of next.newlyProcessed) record.processed.add(id);
  record.outbox = next.outbox;
  record.seq = next.seq;
  record.timers = next.timers;
  record.attempts = next.attempts;
  record.givenUp = next.givenUp;
  record.floor = next.floor;
}

/** A state that is too large, or holds what cannot be written, is the handler's fault, not the store's. @throws HandlerFailed */
function encoded(next: NextRecord, mostBytes?: number): Uint8Array {
  try {
    return encodeRecord(next, mostBytes);
  } catch (error) {
    throw new HandlerFailed(error);
  }
}
