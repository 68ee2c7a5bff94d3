/**
 * Where jobs for a batch API wait, and what is remembered of a batch. The jobs stay in their pool's stream, beside the
 * lanes: stored by acknowledgement like any other, held by no worker, purged with their session. A model's batches are one
 * record in KV, written by compare-and-set before the provider hears of them: who was replaced cannot write, and who
 * takes over finds what was sent instead of paying twice.
 */
import { decode, encode } from "#contracts/codec.ts";
import type { TraceContext } from "#contracts/envelope.ts";
import { tokenOf } from "#contracts/ids.ts";
import type { Job } from "#contracts/job.ts";
import {
  BUCKETS,
  batchesKey,
  inferOfflineFilter,
  inferOfflineSubject,
  inferStream,
  inferSubject,
} from "#contracts/subjects.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { Kv } from "#runtime/nats/kv.ts";
import { messageAt, messagesFrom, remove, type StoredMessage, subjectsOf } from "#runtime/nats/reader.ts";
import type { Waiting } from "./batcher.ts";
import { estimateUsage } from "./models/openai-answer.ts";
import { traceOf } from "./telemetry.ts";

/** A job that waits for a batch, or for the end of its batch; its text stays in the stream. */
export interface Parked extends Waiting {
  readonly seq: number;
  readonly subject: string;
  readonly trace: TraceContext | undefined;
}

export interface Batch {
  readonly id: string;
  /** How often it was sent to the provider, this time included. */
  readonly sends: number;
  /** Why it was sent again: the provider refused it as a whole. */
  readonly failed: boolean;
  /** Of its jobs in the pool's stream, in the order of the file's lines. */
  readonly seqs: readonly number[];
  /** When this was last written, ms since the epoch. */
  readonly at: number;
  readonly file?: string;
  /** The provider's name of it; without one it may have come there, or not. */
  readonly remote?: string;
}

export interface Book {
  readonly batches: readonly Batch[];
  readonly revision: number;
}

/** By which a batch is known again at its provider. */
export const markOf = ({ id, sends }: Batch): string => `${id}-${sends}`;

/** Names a request in a batch's file: where its job is, and which job that is. */
export const lineIdOf = (seq: number, job: Pick<Job, "id">): string => `${seq}-${tokenOf(job.id)}`;
export const seqOf = (lineId: string): number => Number(lineId.split("-", 1)[0]);

/** Puts a job where the batches of a model find it; resolves when it is stored. Twice does no harm. */
export async function park(bus: Bus, job: Job, model: string, data: Uint8Array): Promise<void> {
  await bus.append(inferOfflineSubject(job, model), data, { id: `${job.id}.offline` });
}

const PAGE = 256;
/** Providers take 200 MB. */
const FILE_BYTES = 100 * 1024 * 1024;

export class OfflineStore {
  readonly #bus: Bus;
  readonly #stream: string;
  readonly #filter: string;
  readonly #kv: Kv;
  readonly #key: string;

  constructor(bus: Bus, pool: string, model: string) {
    this.#bus = bus;
    this.#stream = inferStream(pool);
    this.#filter = inferOfflineFilter(pool, model);
    this.#kv = new Kv(bus, BUCKETS.batches);
    this.#key = batchesKey(pool, model);
  }

  /** Jobs that were parked at or after a sequence, in order. */
  async *parked(from: number): AsyncGenerator<Parked> {
    for (let seq = from; ; ) {
      const page = await messagesFrom(this.#bus, this.#stream, this.#filter, seq, PAGE);
      for (const message of page) yield parkedOf(message);
      const last = page.at(-1);
      if (!last || page.length < PAGE) return;
      seq = last.seq + 1;
    }
  }

  /** Subjects that still hold a job: a stop or an erase purges all of a session. */
  subjects(): Promise<ReadonlySet<string>> {
    return subjectsOf(this.#bus, this.#stream, this.#filter);
  }

  /** The job; undefined when nobody wants its answer any more. */
  async job(seq: number): Promise<Job | undefined> {
    const message = await messageAt(this.#bus, this.#stream, seq);
    return message && decode<Job>(message.data);
  }

  /**
   * The lines of a batch's file, as many as it holds, and the jobs they are of; `gone` are those nobody waits for any more.
   * @param goOn asked before each: thousands take longer than a lease
   */
  async linesOf(
    seqs: readonly number[],
    lineOf: (id: string, job: Job) => string,
    goOn: () => Promise<void>,
  ): Promise<{ lines: string[]; seqs: number[]; gone: number[] }> {
    const found: { lines: string[]; seqs: number[]; gone: number[] } = { lines: [], seqs: [], gone: [] };
    let bytes = 0;
    for (const seq of seqs) {
      await goOn();
      const job = await this.job(seq);
      if (!job) {
        found.gone.push(seq);
        continue;
      }
      const line = lineOf(lineIdOf(seq, job), job);
      bytes += Buffer.byteLength(line) + 1;
      // The rest goes with the next batch.
      if (bytes > FILE_BYTES && found.lines.length > 0) break;
      found.lines.push(line);
      found.seqs.push(seq);
    }
    return found;
  }

  async remove(seq: number): Promise<void> {
    await remove(this.#bus, this.#stream, seq);
  }

  /** Back into its lane, to be asked like any other. Stored there before it is removed here: twice is better than never. */
  async sendOnline(seq: number): Promise<void> {
    const job = await this.job(seq);
    if (!job) return;
    const online: Job = { ...job, online: true };
    await this.#bus.append(inferSubject(job), encode(online), { id: `${job.id}.online` });
    await this.remove(seq);
  }

  async book(): Promise<Book> {
    const { value, revision } = await this.#kv.getFromLeader(this.#key);
    return { batches: value ? decode<Stored>(value).batches : [], revision };
  }

  /** @throws StaleRevision when somebody else has written */
  async write(batches: readonly Batch[], revision: number): Promise<Book> {
    const stored: Stored = { v: 1, batches };
    return { batches, revision: await this.#kv.update(this.#key, encode(stored), revision) };
  }
}

interface Stored {
  readonly v: 1;
  readonly batches: readonly Batch[];
}

function parkedOf({ subject, data, seq, at }: StoredMessage): Parked {
  const job = decode<Job>(data);
  const { deadline } = job;
  const tokens = estimateUsage(job, "").inputTokens + (job.maxOutputTokens ?? 0);
  return { seq, subject, arrivedAt: at, tokens, deadline, group: "", trace: traceOf(job) };
}
