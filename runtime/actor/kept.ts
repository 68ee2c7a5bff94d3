/**
 * What is kept beside a record while its actor rests: a copy of what the next activation would have to gather from
 * streams. The record is written first, so both lie in one block of the store and one read fetches both; the copy is
 * stored only while the record is still that one, so nobody who lost the actor, or comes after an erase, leaves anything.
 */
import { decode, encode } from "#contracts/codec.ts";
import { type ActorRoute, keptKey } from "#contracts/subjects.ts";
import { shardOfRoute } from "../nats/inbound.ts";
import type { Kv } from "../nats/kv.ts";
import type { Loaded } from "./commit.ts";
import type { ActorKind } from "./define.ts";
import type { HostContext } from "./host.ts";

interface Stored {
  readonly v: 1;
  /** Revision of the record that it was written behind. */
  readonly at: number;
  readonly data: unknown;
}

/** True where the record has changed since a copy was kept, and leaves something in streams. */
export function isUnkept({ keeping }: ActorKind, { record, revision, keptAt }: Loaded): boolean {
  return keeping !== undefined && keptAt !== revision && keeping.isDue(record.state);
}

/** @throws StaleRevision when the record is no longer that one, JetclawError `nats.unavailable` */
export async function keepBeside(
  host: HostContext,
  { keeping }: ActorKind,
  route: ActorRoute,
  loaded: Loaded,
): Promise<void> {
  const { record, revision: at } = loaded;
  if (!keeping?.isDue(record.state)) return;
  const { data, ttlMs } = keeping.take(record.state, route, host.clock.now());
  const stored = encodeKept(at, data);
  const kv = host.kvOf(shardOfRoute(route, host.deployment));
  await kv.putWhile(keptKey(route), stored, { key: route.path, revision: at }, { ttlMs });
  loaded.keptAt = at;
}

/** What is stored for a copy behind a revision of its record. */
export const encodeKept = (at: number, data: unknown): Uint8Array =>
  encode({ v: 1, at, data } satisfies Stored);

/** From any replica: what is old or missing there is gathered from where it was copied. */
export async function readKept(
  kv: Kv,
  route: ActorRoute,
): Promise<{ at: number; data: unknown } | undefined> {
  const { value } = await kv.get(keptKey(route));
  return value && decode<Stored>(value);
}
