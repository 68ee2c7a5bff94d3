/**
 * How long turns are kept. One active by lease: exports the days that are over where an archive is configured, then
 * purges by tenant what is older than its time, and never more than what the archive has.
 */

import { decode, encode } from "#contracts/codec.ts";
import type { RetentionConfig } from "#contracts/config.ts";
import { tokenOf } from "#contracts/ids.ts";
import { DAY_MS } from "#contracts/limits.ts";
import {
  actorsBucket,
  BUCKETS,
  idsTenantFilter,
  keptFilter,
  tenantOfKept,
  tenantOfTurn,
  turnsFilter,
  turnsStream,
  turnsTenantFilter,
} from "#contracts/subjects.ts";
import { CONVERSATION } from "#contracts/turn.ts";
import type { Clock } from "#runtime/clock.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { Kv } from "#runtime/nats/kv.ts";
import { messagesFrom, nextMessage, purgeBefore, streamState } from "#runtime/nats/reader.ts";
import type { Log } from "#runtime/observe/log.ts";
import { Lease } from "#runtime/placement/lease.ts";
import { within } from "#runtime/within.ts";
import { exportShard, readManifest } from "./archive.ts";
import type { ArchiveStore } from "./archive-store.ts";

export interface KeeperOptions {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly instance: string;
  readonly shards: number;
  readonly retention: RetentionConfig;
  /** Where days are exported to before anything of them is purged; absent: they are purged unexported. */
  readonly archive?: ArchiveStore | undefined;
}

const LEASE_KEY = "lease.keeper";
const APPLIED_KEY = "keeper.retention";
const LEASE_MS = 60_000;
const ROUND_MS = 3_600_000;
const PAGE = 256;
/** How long a stop waits for the step that is under way. */
const STOP_MS = 1_000;

export class Keeper {
  readonly #options: KeeperOptions;
  readonly #lease: Lease;
  readonly #stopping = new AbortController();
  #timers: NodeJS.Timeout[] = [];
  #running: Promise<void> | undefined;

  constructor(options: KeeperOptions) {
    this.#options = options;
    const { bus, clock, instance: owner } = options;
    this.#lease = new Lease({ bus, clock, owner, key: LEASE_KEY, leaseMs: LEASE_MS });
  }

  start(): void {
    const { log } = this.#options;
    const run = (): void => {
      this.#running ??= this.round()
        .catch((err) => {
          if (!this.#stopping.signal.aborted) log.warn({ err }, "keeper: round failed, the next one goes on");
        })
        .finally(() => {
          this.#running = undefined;
        });
    };
    run();
    this.#timers = [
      setInterval(run, ROUND_MS),
      // An export may take longer than a lease.
      setInterval(() => {
        if (this.#running) this.#lease.hold().catch(() => {});
      }, LEASE_MS / 3),
    ];
  }

  /** Ends a round where it is: an export goes on from its manifest, and whoever drains has no time for the rest of it. */
  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    this.#stopping.abort(new Error("the keeper stops"));
    await within(this.#running ?? Promise.resolve(), STOP_MS);
    await this.#lease.release().catch(() => {});
  }

  /** One round over all shards. @throws JetclawError `archive.unavailable`, `archive.damaged`, `nats.unavailable` */
  async round(): Promise<void> {
    const { shards, log } = this.#options;
    if (!(await this.#lease.hold())) return;
    await this.#shorten();
    for (let shard = 0; shard < shards; shard++) {
      this.#stopping.signal.throwIfAborted();
      const upToSeq = await this.#export(shard);
      const purged = await this.#purge(shard, upToSeq);
      if (purged > 0) log.info({ shard, purged }, "turns older than their retention were purged");
    }
  }

  /** @returns the last sequence that may be purged */
  async #export(shard: number): Promise<number> {
    const { bus, archive, clock } = this.#options;
    if (!archive) return Number.POSITIVE_INFINITY;
    const beforeAt = Math.floor(clock.now() / DAY_MS) * DAY_MS;
    await exportShard({ bus }, archive, shard, { beforeAt, signal: this.#stopping.signal });
    // As it is stored, whoever wrote it.
    return (await readManifest(archive, shard)).upToSeq;
  }

  async #purge(shard: number, upToSeq: number): Promise<number> {
    const { bus, clock, retention } = this.#options;
    const stream = turnsStream(shard);
    const named = new Map(
      Object.entries(retention.tenants ?? {}).map(([tenant, { days }]) => [tokenOf(tenant), days]),
    );
    const others =
      retention.days === undefined
        ? []
        : await this.#tenantsBefore(shard, clock.now() - retention.days * DAY_MS);
    for (const tenant of others) if (!named.has(tenant)) named.set(tenant, retention.days as number);
    let purged = 0;
    for (const [tenant, days] of named) {
      const filter = turnsTenantFilter(shard, { token: tenant });
      const seq = Math.min(await this.#firstSince(stream, filter, clock.now() - days * DAY_MS), upToSeq + 1);
      if (seq <= 1) continue;
      purged += await purgeBefore(bus, stream, filter, seq);
      purged += await purgeBefore(bus, stream, idsTenantFilter(shard, { token: tenant }), seq);
    }
    return purged;
  }

  /**
   * What conversations keep beside their records carries the lifetime that was configured then. Where that has become
   * shorter it is removed, once, and made anew by those who speak again.
   */
  async #shorten(): Promise<void> {
    const { bus, shards, retention, log } = this.#options;
    const known = new Kv(bus, BUCKETS.placement);
    const { value } = await known.getFromLeader(APPLIED_KEY);
    const before = value ? decode<Applied>(value) : { tenants: [] };
    const now = appliedOf(retention);
    const [old, current] = [before, now].map((each) => encode(each)) as [Uint8Array, Uint8Array];
    if (Buffer.compare(old, current) === 0) return;
    let removed = 0;
    for (let shard = 0; shard < shards; shard++) {
      const kv = new Kv(bus, actorsBucket(shard));
      for await (const { key } of kv.entries(keptFilter(CONVERSATION), PAGE)) {
        this.#stopping.signal.throwIfAborted();
        const tenant = tenantOfKept(key);
        if (daysOf(now, tenant) < daysOf(before, tenant)) removed += await kv.drop(key);
      }
    }
    await known.put(APPLIED_KEY, current);
    if (removed > 0) log.info({ removed }, "copies of turns that were to be kept for longer were removed");
  }

  /** Tokens of the tenants that have records from before a time. */
  async #tenantsBefore(shard: number, at: number): Promise<Set<string>> {
    const tenants = new Set<string>();
    for (let seq = 1; ; ) {
      const page = await messagesFrom(this.#options.bus, turnsStream(shard), turnsFilter(shard), seq, PAGE);
      for (const message of page) {
        if (message.at >= at) return tenants;
        tenants.add(tenantOfTurn(message.subject));
        seq = message.seq + 1;
      }
      if (page.length < PAGE) return tenants;
    }
  }

  /** The first sequence from which on all that matches is of that time or newer: stored in the order of time. */
  async #firstSince(stream: string, filter: string, at: number): Promise<number> {
    const { bus } = this.#options;
    const state = await streamState(bus, stream);
    let low = state.firstSeq;
    let high = state.lastSeq + 1;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const found = await nextMessage(bus, stream, filter, middle);
      if (found && found.at < at) low = found.seq + 1;
      else high = middle;
    }
    return low;
  }
}

/** A retention as it was applied last, tenants by their tokens. */
interface Applied {
  readonly days?: number;
  readonly tenants: readonly (readonly [token: string, days: number])[];
}

const appliedOf = ({ days, tenants = {} }: RetentionConfig): Applied => ({
  ...(days === undefined ? {} : { days }),
  tenants: Object.entries(tenants)
    .map(([tenant, each]) => [tokenOf(tenant), each.days] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1)),
});

const daysOf = ({ days, tenants }: Applied, token: string): number =>
  new Map(tenants).get(token) ?? days ?? Number.POSITIVE_INFINITY;
