/**
 * API keys: 256 random bits, stored as their SHA-256 in KV `keys`, held in memory and kept fresh by a watch.
 * A key appears in the answer of its creation and nowhere else.
 */
import { hash as digest, randomBytes, timingSafeEqual } from "node:crypto";
import { LRUCache } from "lru-cache";
import { z } from "zod";
import { decode, encode } from "#contracts/codec.ts";
import { JetclawError } from "#contracts/errors.ts";
import { isId } from "#contracts/ids.ts";
import { BUCKETS } from "#contracts/subjects.ts";
import type { Clock } from "#runtime/clock.ts";
import { type Bus, StaleRevision } from "#runtime/nats/connect.ts";
import { Kv, type KvEntry } from "#runtime/nats/kv.ts";
import { type Identity, type KeyInfo, type KeyStore, SCOPES, type Scope } from "./port.ts";

const KEY_FORMAT = /^jc_[A-Za-z0-9_-]{43}$/;
/** Hex digits of the hash that name a key: enough to be unique, too few to be of use. */
const ID_CHARS = 16;
/** The watch is a hint: a record in use is read again when it was last seen this long ago. */
const CONFIRM_MS = 15_000;
/** How long an unknown key is remembered as such; a key made a moment ago elsewhere is accepted after it. */
const ABSENT_MS = 2_000;
const ABSENT_KEYS = 10_000;
const NEW_KEY_SCOPES: readonly Scope[] = ["chat", "knowledge", "actors"];

const recordSchema = z.object({
  v: z.literal(1),
  tenant: z.string(),
  scopes: z.array(z.enum(SCOPES)),
  label: z.string(),
  createdAt: z.number(),
  revokedAt: z
    .number()
    .nullish()
    .transform((v) => v ?? undefined),
});
type KeyRecord = z.infer<typeof recordSchema>;

interface Held {
  readonly record: KeyRecord;
  readonly revision: number;
  confirmedAt: number;
}

export const hashKey = (key: string): string => digest("sha256", key, "hex");

/** Compares digests without telling by the time taken where they differ. */
export function sameDigest(a: string, b: string): boolean {
  return a.length === b.length && timingSafeEqual(Buffer.from(a, "latin1"), Buffer.from(b, "latin1"));
}

export class KvKeyStore implements KeyStore {
  readonly #kv: Kv;
  readonly #clock: Clock;
  readonly #held = new Map<string, Held>();
  readonly #absent = new LRUCache<string, true>({ max: ABSENT_KEYS, ttl: ABSENT_MS });
  readonly #reading = new Map<string, Promise<void>>();
  #stop: () => void = () => {};

  private constructor(bus: Bus, clock: Clock) {
    this.#kv = new Kv(bus, BUCKETS.keys);
    this.#clock = clock;
  }

  /** Resolves when all present keys are in memory. @throws JetclawError `nats.unavailable` */
  static async open(bus: Bus, clock: Clock): Promise<KvKeyStore> {
    const store = new KvKeyStore(bus, clock);
    const watch = await store.#kv.watch(">", (entry) => store.#keep(entry));
    // The watch may have missed changes while the connection was away.
    const reconnects = bus.onReconnect(() => {
      for (const held of store.#held.values()) held.confirmedAt = 0;
    });
    store.#stop = () => {
      watch.stop();
      reconnects.stop();
    };
    return store;
  }

  #keep(entry: KvEntry): void {
    const known = this.#held.get(entry.key);
    if (known && known.revision > entry.revision) return;
    const parsed = entry.value === undefined ? undefined : recordSchema.safeParse(decode(entry.value));
    if (parsed?.success) {
      this.#held.set(entry.key, {
        record: parsed.data,
        revision: entry.revision,
        confirmedAt: this.#clock.now(),
      });
      this.#absent.delete(entry.key);
    } else {
      this.#held.delete(entry.key);
      this.#absent.set(entry.key, true);
    }
  }

  /** Reads one record; callers at the same time share the read. */
  #read(hash: string): Promise<void> {
    const running = this.#reading.get(hash);
    if (running) return running;
    const reading = this.#kv
      .get(hash)
      .then((entry) => this.#keep(entry))
      .finally(() => this.#reading.delete(hash));
    this.#reading.set(hash, reading);
    return reading;
  }

  holds(key: string): boolean {
    return KEY_FORMAT.test(key) && this.#accepted(hashKey(key)) !== undefined;
  }

  async resolve(key: string): Promise<Identity | undefined> {
    if (!KEY_FORMAT.test(key)) return undefined;
    const hash = hashKey(key);
    if (this.#absent.has(hash)) return undefined;
    const held = this.#held.get(hash);
    if (!held) await this.#read(hash);
    // In the background: an answer from memory is right unless the watch was silent.
    else if (this.#clock.now() - held.confirmedAt > CONFIRM_MS) void this.#read(hash).catch(() => {});
    return this.#accepted(hash);
  }

  #accepted(hash: string): Identity | undefined {
    const held = this.#held.get(hash);
    if (!held || held.record.revokedAt !== undefined) return undefined;
    return { id: hash.slice(0, ID_CHARS), tenant: held.record.tenant, scopes: held.record.scopes };
  }

  async create(
    tenant: string,
    options: { scopes?: readonly Scope[]; label?: string } = {},
  ): Promise<KeyInfo & { key: string }> {
    if (!isId(tenant)) throw new JetclawError("request.id", "tenant");
    const key = `jc_${randomBytes(32).toString("base64url")}`;
    const hash = hashKey(key);
    const record: KeyRecord = {
      v: 1,
      tenant,
      scopes: [...(options.scopes ?? NEW_KEY_SCOPES)],
      label: options.label ?? "",
      createdAt: this.#clock.now(),
      revokedAt: undefined,
    };
    const value = encode(record);
    this.#keep({ key: hash, value, revision: await this.#kv.update(hash, value, 0) });
    return { ...infoOf(hash, record), key };
  }

  async revoke(id: string): Promise<boolean> {
    const hash = (await this.#kv.keys(">")).find((each) => each.startsWith(id) && id.length === ID_CHARS);
    if (hash === undefined) return false;
    for (;;) {
      const { value, revision } = await this.#kv.getFromLeader(hash);
      if (value === undefined) return false;
      const record = recordSchema.parse(decode(value));
      if (record.revokedAt !== undefined) return true;
      const revoked = encode({ ...record, revokedAt: this.#clock.now() });
      try {
        this.#keep({ key: hash, value: revoked, revision: await this.#kv.update(hash, revoked, revision) });
        return true;
      } catch (error) {
        if (!(error instanceof StaleRevision)) throw error;
      }
    }
  }

  async list(tenant?: string): Promise<KeyInfo[]> {
    return [...this.#held]
      .map(([hash, { record }]) => infoOf(hash, record))
      .filter((info) => tenant === undefined || info.tenant === tenant)
      .sort((a, b) => a.createdAt - b.createdAt);
  }

  hasKeys(): boolean {
    return [...this.#held.values()].some(({ record }) => record.revokedAt === undefined);
  }

  close(): void {
    this.#stop();
  }
}

function infoOf(hash: string, { tenant, scopes, label, createdAt, revokedAt }: KeyRecord): KeyInfo {
  return {
    id: hash.slice(0, ID_CHARS),
    tenant,
    scopes,
    label,
    createdAt,
    ...(revokedAt === undefined ? {} : { revokedAt }),
  };
}
