// A channel's sender as the author of an adapter writes it: it reads the records of its channel durably, sends each
// under its delivery id, and acks. What it sends goes into a file. Now and then it dies after sending and before the ack.
import { appendFileSync } from "node:fs";
import { decode } from "#contracts/codec.ts";
import { turnsStream } from "#contracts/subjects.ts";
import type { FeedbackRecord, TurnRecord } from "#contracts/turn.ts";
import { connectTo } from "#ops/compose/open.ts";
import { readDurably } from "#runtime/nats/durable.ts";
import { createLog } from "#runtime/observe/log.ts";
import { randomOf } from "./random.ts";

export interface SenderConfig {
  readonly url: string;
  readonly shards: number;
  readonly file: string;
  readonly seed: number;
  /** It dies once in so many sendings on average; 0: never. */
  readonly diesOnceIn: number;
  /** For a control run: each attempt gets an id of its own. */
  readonly freshIds: boolean;
}

/** One sending, as the provider of the channel sees it. */
export interface Sent {
  readonly delivery: string;
  readonly tenant: string;
  readonly session: string;
  readonly turn: number;
}

const CHANNEL = "web";
const IN_FLIGHT = 8;

async function run(config: SenderConfig): Promise<void> {
  const { url, shards, file, seed, diesOnceIn, freshIds } = config;
  const bus = await connectTo(url, "sender", createLog({ level: "fatal" }));
  const random = randomOf(seed);
  const send = async (data: Uint8Array): Promise<void> => {
    const record = decode<TurnRecord | FeedbackRecord>(data);
    if (record.type !== "turn") return;
    const { id, tenant, session, turn } = record;
    const sent: Sent = { delivery: freshIds ? crypto.randomUUID() : id, tenant, session, turn };
    appendFileSync(file, `${JSON.stringify(sent)}\n`);
    if (diesOnceIn > 0 && random.oneIn(diesOnceIn)) process.kill(process.pid, "SIGKILL");
  };
  for (let shard = 0; shard < shards; shard++)
    await readDurably(bus, {
      stream: turnsStream(shard),
      name: `sender-${CHANNEL}`,
      filter: `turn.${shard}.${CHANNEL}.>`,
      inFlight: IN_FLIGHT,
      handle: ({ data }) => send(data),
    });
}

process.on("disconnect", () => process.kill(process.pid, "SIGKILL"));
process.on("message", (config: SenderConfig) => {
  run(config).catch((error: unknown) => {
    console.error(error);
    process.exit(1);
  });
});
