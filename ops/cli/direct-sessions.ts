/** Conversations over NATS itself: for whoever has no gateway, and for exports, which move too much for one. */

import { exportShard } from "#actors/conversation/archive.ts";
import { ConversationClient } from "#actors/conversation/client.ts";
import { type Restored, type RestoreOptions, restoreTurns } from "#actors/conversation/restoring.ts";
import { JetclawError } from "#contracts/errors.ts";
import { DAY_MS } from "#contracts/limits.ts";
import type { EraseReceipt, Transcript } from "#contracts/turn.ts";
import { systemClock } from "#runtime/clock.ts";
import { archiveOf } from "../compose/archive.ts";
import { readSettings } from "../settings.ts";
import { onDeployment, onProvisioned } from "./direct.ts";

interface Sessions extends Pick<ConversationClient, "list"> {
  transcript(tenant: string, session: string): Promise<Transcript>;
  erase(tenant: string, session: string): Promise<EraseReceipt>;
}

export function withSessions<T>(url: string, work: (sessions: Sessions) => Promise<T>): Promise<T> {
  return onDeployment(url, (bus, deployment) => {
    const client = new ConversationClient(bus, deployment, systemClock);
    return work({
      list: (query) => client.list(query),
      transcript: async (tenant, session) => existing(await client.transcript(tenant, session)),
      erase: async (tenant, session) => existing(await client.erase(tenant, session)),
    });
  });
}

function existing<T>(found: T | undefined): T {
  if (found === undefined) throw new JetclawError("session.not-found");
  return found;
}

export interface Exported {
  readonly parts: number;
  readonly records: number;
}

export function exportAll(
  url: string | undefined,
  to: string,
  options: { tenant?: string | undefined; beforeAt?: number | undefined },
  say: (line: string) => void,
): Promise<Exported> {
  return onDeployment(url, async (bus, { shards }) => {
    const store = archiveOf(to, readSettings());
    const beforeAt = options.beforeAt ?? Math.floor(systemClock.now() / DAY_MS) * DAY_MS;
    const sum = { parts: 0, records: 0 };
    for (let shard = 0; shard < shards; shard++)
      await exportShard({ bus }, store, shard, {
        beforeAt,
        tenant: options.tenant,
        onPart({ key, records }) {
          sum.parts++;
          sum.records += records;
          say(`${sum.records} records, ${key}`);
        },
      });
    return sum;
  });
}

export function restoreAll(
  url: string | undefined,
  from: string,
  options: RestoreOptions,
  say: (line: string) => void,
): Promise<Restored> {
  return onProvisioned(url, (bus) =>
    restoreTurns(bus, systemClock, archiveOf(from, readSettings()), {
      ...options,
      onPart: ({ key }) => say(key),
    }),
  );
}
