// Fault 3: a channel's sender dies after sending and before its ack. The sender is an adapter as its author would write
// it: the product has the records, and no channel of its own yet.
import { join } from "node:path";
import type { Sent } from "#test/harness/sender-process.ts";
import { Senders } from "#test/harness/senders.ts";
import { waitUntil } from "#test/harness/wait.ts";
import { type Row, type RowOptions, type RowResult, underLoad } from "../row.ts";
import type { FaultRun } from "../run.ts";

const SENDERS = 2;
const DEATHS = 40;
const DIES_ONCE_IN = 12;
const DEATHS_LIMIT_MS = 240_000;
const SENT_MS = 60_000;

const turnOf = ({ tenant, session, turn }: Omit<Sent, "delivery">): string => `${tenant}/${session}/${turn}`;

/** Distinct delivery ids of each turn. */
function idsByTurn(sent: readonly Sent[]): ReadonlyMap<string, ReadonlySet<string>> {
  const ids = new Map<string, Set<string>>();
  for (const each of sent) {
    const known = ids.get(turnOf(each));
    if (known) known.add(each.delivery);
    else ids.set(turnOf(each), new Set([each.delivery]));
  }
  return ids;
}

async function sendersKilled(run: FaultRun, options: RowOptions): Promise<RowResult["figures"]> {
  const { cluster, recorder } = run;
  const senders = new Senders(
    {
      url: cluster.nats.url,
      shards: cluster.deployment.shards,
      file: join(cluster.dir, "sent.jsonl"),
      seed: options.seed,
      diesOnceIn: DIES_ONCE_IN,
      freshIds: options.control,
    },
    SENDERS,
  );
  try {
    const times = options.times ?? (options.control ? DEATHS / 4 : DEATHS);
    await waitUntil(
      () => {
        if (senders.failure) throw senders.failure;
        return senders.deaths >= times;
      },
      { timeoutMs: DEATHS_LIMIT_MS, what: `${times} deaths of senders` },
    );
    run.say(`${senders.deaths} senders died, ${run.progress}`);
    senders.calm();
    const turns = new Set(recorder.events.flatMap((e) => (e.type === "record" ? [turnOf(e)] : [])));
    let ids = idsByTurn(await senders.sent());
    const missing = (): number => [...turns].filter((turn) => !ids.has(turn)).length;
    await waitUntil(
      async () => {
        ids = idsByTurn(await senders.sent());
        return missing() === 0;
      },
      { timeoutMs: SENT_MS, what: "every turn to be sent", pollMs: 500 },
    ).catch(() => {});
    const sent = await senders.sent();
    const distinct = [...ids.values()].reduce((sum, { size }) => sum + size, 0);
    return {
      senderDeaths: senders.deaths,
      sent: sent.length,
      turnsSent: ids.size,
      sentAgain: sent.length - ids.size,
      otherIds: distinct - ids.size,
      notSent: missing(),
      // A duplicate that never came would prove nothing.
      noDuplicate: sent.length > ids.size ? 0 : 1,
    };
  } finally {
    senders.end();
  }
}

const senderKilled: Row = {
  fault: 3,
  name: "channel sender killed after send, before ack",
  target: "each duplicate carries the same delivery id, every turn is sent",
  control: "the sender gives each attempt an id of its own",
  run: (options) =>
    underLoad(
      options,
      { hosts: 2, workers: 2, perSecond: 40, sessions: 60 },
      { otherIds: 0, notSent: 0, noDuplicate: 0 },
      (run) => sendersKilled(run, options),
    ),
};

export const channelRows: readonly Row[] = [senderKilled];
