/**
 * Exporting closed turns: NDJSON, gzip, one part a tenant and day, listed with its SHA-256 in a manifest a shard. A part
 * is read back before the manifest names it, and the manifest says how far the export is: it is resumed from there, and
 * whoever purges looks there first.
 */
import { createHash } from "node:crypto";
import { promisify } from "node:util";
import { gunzip, gzip } from "node:zlib";
import { decode } from "#contracts/codec.ts";
import { JetclawError } from "#contracts/errors.ts";
import { tokenOf } from "#contracts/ids.ts";
import { tenantOfTurn, turnsStream, turnsTenantFilter } from "#contracts/subjects.ts";
import type { FeedbackRecord, TurnRecord } from "#contracts/turn.ts";
import { messagesFrom, streamState } from "#runtime/nats/reader.ts";
import type { ArchiveStore } from "./archive-store.ts";
import type { PastTurns } from "./past-turns.ts";

export interface Part {
  readonly key: string;
  readonly sha256: string;
  readonly records: number;
  readonly firstSeq: number;
  readonly lastSeq: number;
}

export interface Manifest {
  readonly v: 1;
  readonly shard: number;
  /** Everything up to this sequence of TURNS is in the parts. */
  readonly upToSeq: number;
  /** When that stream was made, as its server says it: what this archive goes on with. */
  readonly origin?: string;
  readonly parts: readonly Part[];
}

/** A line of a part. */
export interface ArchivedRecord {
  readonly seq: number;
  readonly record: TurnRecord | FeedbackRecord;
}

export interface ExportOptions {
  /** Only what was stored before then, ms since the epoch. */
  readonly beforeAt: number;
  /** Only of this tenant, in a manifest of its own. */
  readonly tenant?: string | undefined;
  readonly onPart?: (part: Part) => void;
  /** Ends the export between two steps; what the manifest lists stays. */
  readonly signal?: AbortSignal;
}

const PAGE = 256;
/** Records of all tenants that are held at once; a day with more has several parts. */
const HELD_RECORDS = 20_000;
const HELD_BYTES = 64 * 2 ** 20;
const zip = promisify(gzip);
const unzip = promisify(gunzip);
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

const manifestKey = (shard: number, tenant: string | undefined): string =>
  tenant === undefined ? `manifest-${shard}.json` : `${tokenOf(tenant)}/manifest-${shard}.json`;

/** @throws JetclawError `archive.unavailable`, `archive.damaged` */
export async function readManifest(store: ArchiveStore, shard: number, tenant?: string): Promise<Manifest> {
  const bytes = await store.get(manifestKey(shard, tenant));
  if (!bytes) return { v: 1, shard, upToSeq: 0, parts: [] };
  try {
    const manifest = JSON.parse(Buffer.from(bytes).toString("utf8")) as Manifest;
    if (manifest.v === 1 && Array.isArray(manifest.parts)) return manifest;
  } catch {
    // Not even JSON.
  }
  throw new JetclawError("archive.damaged", manifestKey(shard, tenant));
}

/** Exports one shard from where the last export ended. @throws JetclawError `archive.unavailable`, `nats.unavailable` */
export async function exportShard(
  { bus }: Pick<PastTurns, "bus">,
  store: ArchiveStore,
  shard: number,
  { beforeAt, tenant, onPart, signal }: ExportOptions,
): Promise<Manifest> {
  let manifest = await readManifest(store, shard, tenant);
  const origin = await originOf(bus, manifest);
  const held = new Held();
  const flush = async (): Promise<void> => {
    if (held.records === 0) return;
    const parts: Part[] = [];
    for (const [key, lines] of held.take()) {
      signal?.throwIfAborted();
      const part = await writePart(store, key, shard, lines);
      parts.push(part);
      onPart?.(part);
    }
    // Two exports at once would each leave out what the other one lists.
    if ((await readManifest(store, shard, tenant)).upToSeq !== manifest.upToSeq)
      throw new JetclawError("archive.unavailable", "another export writes to this archive");
    const upToSeq = Math.max(...parts.map(({ lastSeq }) => lastSeq));
    manifest = { ...manifest, origin, upToSeq, parts: [...manifest.parts, ...parts] };
    await store.put(manifestKey(shard, tenant), Buffer.from(JSON.stringify(manifest)));
  };
  for (let seq = manifest.upToSeq + 1; ; ) {
    signal?.throwIfAborted();
    const page = await messagesFrom(bus, turnsStream(shard), turnsTenantFilter(shard, tenant), seq, PAGE);
    for (const message of page) {
      // Stored in the order of their time: what comes after it is as new.
      if (message.at >= beforeAt) {
        await flush();
        return manifest;
      }
      const day = new Date(message.at).toISOString().slice(0, 10);
      if (held.isFull || held.endsWith(day)) await flush();
      held.add(message.subject, day, { seq: message.seq, record: decode(message.data) }, message.data.length);
      seq = message.seq + 1;
    }
    if (page.length < PAGE) break;
  }
  await flush();
  return manifest;
}

/**
 * Sequences of another deployment say nothing about this one: going on from them would leave turns out, and a purge that
 * trusts them would lose those.
 * @returns what the stream is recognised by
 */
async function originOf(bus: PastTurns["bus"], { shard, upToSeq, origin }: Manifest): Promise<string> {
  const { createdAt, lastSeq } = await streamState(bus, turnsStream(shard));
  if (upToSeq > lastSeq || (origin ?? createdAt) !== createdAt)
    throw new JetclawError(
      "archive.unavailable",
      "it holds the turns of another deployment: export to another folder or prefix",
    );
  return createdAt;
}

/** What is read and not yet written, by tenant; of one day. */
class Held {
  readonly #lines = new Map<string, ArchivedRecord[]>();
  #day = "";
  #bytes = 0;
  records = 0;

  get isFull(): boolean {
    return this.records >= HELD_RECORDS || this.#bytes >= HELD_BYTES;
  }

  /** A record of `day` is the first of another one. */
  endsWith(day: string): boolean {
    return this.records > 0 && this.#day !== day;
  }

  add(subject: string, day: string, line: ArchivedRecord, bytes: number): void {
    const key = `${tenantOfTurn(subject)}/${day}`;
    const lines = this.#lines.get(key);
    if (lines) lines.push(line);
    else this.#lines.set(key, [line]);
    this.#day = day;
    this.#bytes += bytes;
    this.records++;
  }

  take(): [string, ArchivedRecord[]][] {
    const all = [...this.#lines];
    this.#lines.clear();
    this.#bytes = 0;
    this.records = 0;
    return all;
  }
}

async function writePart(
  store: ArchiveStore,
  folder: string,
  shard: number,
  lines: readonly ArchivedRecord[],
): Promise<Part> {
  const firstSeq = lines[0]?.seq ?? 0;
  const lastSeq = lines.at(-1)?.seq ?? 0;
  const key = `${folder}/${shard}-${firstSeq}-${lastSeq}.ndjson.gz`;
  const bytes = await zip(lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  const part: Part = { key, sha256: sha256(bytes), records: lines.length, firstSeq, lastSeq };
  await store.put(key, bytes);
  // What is there is what counts, not what was sent.
  await readPart(store, part);
  return part;
}

/** @throws JetclawError `archive.damaged` where it is missing, changed or cut */
export async function readPart(store: ArchiveStore, part: Part): Promise<ArchivedRecord[]> {
  const bytes = await store.get(part.key);
  if (!bytes || sha256(bytes) !== part.sha256) throw new JetclawError("archive.damaged", part.key);
  const lines = (await unzip(bytes)).toString("utf8").split("\n").filter(Boolean);
  if (lines.length !== part.records) throw new JetclawError("archive.damaged", part.key);
  return lines.map((line) => JSON.parse(line) as ArchivedRecord);
}
