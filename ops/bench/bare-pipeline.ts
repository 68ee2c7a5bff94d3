/**
 * The ceiling that ours is compared with: the same durable turn with nothing around it. Message in, compare-and-set of
 * the state with its job, job out, worker, result in, compare-and-set, turn record, acknowledgements. No addresses, no
 * placement, no processed ids, no outbox to confirm, no priorities, no deadlines; a host knows its revisions by heart.
 * Everything is as many bytes as ours is, over as many streams, processes and publishes that must be acknowledged.
 */
import { decode, encode } from "#contracts/codec.ts";
import { fnv1a } from "#contracts/ids.ts";
import { systemClock } from "#runtime/clock.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { Kv } from "#runtime/nats/kv.ts";
import { makePlainStream } from "#runtime/nats/plain-stream.ts";
import { type Pulled, Puller } from "#runtime/nats/pull.ts";
import { createLog } from "#runtime/observe/log.ts";
import { connectTo } from "../compose/open.ts";
import { randomFrom, textOf } from "./shape.ts";
import type { RecordSizes } from "./side.ts";

export interface BareTask {
  readonly shards: number;
  /** The shards whose messages this host takes. */
  readonly own: readonly number[];
  readonly sizes: RecordSizes;
  readonly chunks: number;
  /** Time between two of them. */
  readonly chunkMs: number;
}

export interface BareMessage {
  readonly kind: "user" | "result";
  readonly session: string;
  readonly turn: number;
  readonly last: boolean;
  readonly pad: string;
}

const IN = (shard: number): string => `BAREIN-${shard}`;
const JOBS = "BAREJOBS";
const BUCKET = (shard: number): string => `bare-${shard}`;
export const bareShard = (session: string, shards: number): number => fnv1a(session) % shards;
export const bareInSubject = (session: string, shards: number): string =>
  `barein.${bareShard(session, shards)}.${session}`;
export const BARE_TURNS = "bareturn.>";
const CONSUMER = "bare";
/** Messages a host or worker asks for at once. */
const BATCH = 256;
const EXPIRES_MS = 30_000;
/** What the fields around the padding take. */
const FIELD_BYTES = 64;

/** The streams as ours are declared, without what only features need. */
export async function provisionBare(bus: Bus, shards: number): Promise<void> {
  const consumer = CONSUMER;
  await makePlainStream(bus, { name: JOBS, subjects: ["barejob.>"], kind: "work", consumer });
  await makePlainStream(bus, { name: "BARETOKENS", subjects: ["baretok.>"], kind: "memory" });
  for (let shard = 0; shard < shards; shard++) {
    await makePlainStream(bus, { name: IN(shard), subjects: [`barein.${shard}.>`], kind: "work", consumer });
    await makePlainStream(bus, {
      name: `BARETURNS-${shard}`,
      subjects: [`bareturn.${shard}.>`],
      kind: "log",
    });
    await makePlainStream(bus, {
      name: `KV_${BUCKET(shard)}`,
      subjects: [`$KV.${BUCKET(shard)}.>`],
      kind: "bucket",
    });
  }
}

export function paddings(sizes: RecordSizes): Readonly<Record<keyof RecordSizes, string>> {
  const random = randomFrom(7);
  const pad = (bytes: number): string => textOf(Math.max(0, bytes - FIELD_BYTES), random);
  return {
    message: pad(sizes.message),
    job: pad(sizes.job),
    result: pad(sizes.result),
    state: pad(sizes.state),
    turn: pad(sizes.turn),
  };
}

/** Pulls without a pause: the next request leaves as soon as one is filled. */
function pullAlways(bus: Bus, stream: string, handle: (message: Pulled) => Promise<void>): () => void {
  const puller = new Puller(bus);
  const channel = puller.channel(stream, CONSUMER);
  let stopped = false;
  const pull = (): void => {
    if (stopped) return;
    channel.request({
      batch: BATCH,
      expiresMs: EXPIRES_MS,
      onMessage: (message) =>
        void handle(message).catch((err: unknown) => bus.log.error({ err }, "bare pipeline failed")),
      onEnd: pull,
    });
  };
  pull();
  return () => {
    stopped = true;
    puller.close();
  };
}

export async function startBareHost(natsUrl: string, task: BareTask): Promise<() => Promise<void>> {
  const bus = await connectTo(natsUrl, "bare-host", createLog({ level: "warn" }));
  const { shards, sizes } = task;
  const pad = paddings(sizes);
  const revisions = new Map<string, number>();
  const stops = task.own.map((shard) => {
    const kv = new Kv(bus, BUCKET(shard));
    return pullAlways(bus, IN(shard), async (pulled) => {
      const { kind, session, turn, last } = decode<BareMessage>(pulled.data);
      const state = encode({ session, turn, kind, pad: pad.state });
      revisions.set(session, await kv.update(session, state, revisions.get(session) ?? 0));
      if (kind === "user")
        await bus.append(`barejob.${session}`, encode({ kind, session, turn, last, pad: pad.job }));
      else
        await bus.append(
          `bareturn.${bareShard(session, shards)}.${session}`,
          encode({ session, turn, pad: pad.turn }),
        );
      pulled.ack();
      if (kind === "result" && last) revisions.delete(session);
    });
  });
  await bus.flush();
  return async () => {
    for (const stop of stops) stop();
    await bus.close();
  };
}

export async function startBareWorker(natsUrl: string, task: BareTask): Promise<() => Promise<void>> {
  const bus = await connectTo(natsUrl, "bare-worker", createLog({ level: "warn" }));
  const pad = paddings(task.sizes);
  const chunk = textOf(64, randomFrom(11));
  const stop = pullAlways(bus, JOBS, async (pulled) => {
    const { session, turn, last } = decode<BareMessage>(pulled.data);
    for (let number = 1; number <= task.chunks; number++) {
      if (task.chunkMs > 0 && number > 1) await systemClock.sleep(task.chunkMs);
      bus.publish(`baretok.${session}`, encode({ turn, number, chunk }));
    }
    await bus.append(
      bareInSubject(session, task.shards),
      encode({ kind: "result", session, turn, last, pad: pad.result }),
    );
    pulled.ack();
  });
  await bus.flush();
  return async () => {
    stop();
    await bus.close();
  };
}
