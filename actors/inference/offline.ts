/**
 * Sends the parked jobs of one model by its provider's batch API, and brings their answers. One active by lease among
 * the pool's workers; it holds nothing that the next one could not read: jobs wait in the stream, batches in KV. What a
 * batch does not answer, or not in time, is asked like any other job.
 */
import { tokenOf } from "#contracts/ids.ts";
import { bellOfflineFilter } from "#contracts/subjects.ts";
import { addUsage, NO_USAGE, type Usage } from "#contracts/usage.ts";
import type { Clock } from "#runtime/clock.ts";
import { type Bus, StaleRevision } from "#runtime/nats/connect.ts";
import { batchResponseAttributes } from "#runtime/observe/genai.ts";
import type { Log } from "#runtime/observe/log.ts";
import { gauge, metrics } from "#runtime/observe/metrics.ts";
import type { Span } from "#runtime/observe/trace.ts";
import { Lease } from "#runtime/placement/lease.ts";
import { nextBatch, urgent } from "./batcher.ts";
import { failureOf } from "./failure.ts";
import type { BatchApi, LineEnd, RemoteBatch } from "./models/batch-api.ts";
import type { OfflineModel } from "./models/offline.ts";
import type { PooledModel } from "./models/registry.ts";
import { deliver, readAnswer, startBatchSpan } from "./offline-answer.ts";
import { Intake } from "./offline-intake.ts";
import { Leftovers } from "./offline-leftovers.ts";
import { type Batch, lineIdOf, markOf, OfflineStore, type Parked, seqOf } from "./offline-store.ts";
import { Rounds } from "./rounds.ts";

export interface OfflineParts {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly pool: string;
  readonly served: PooledModel & { readonly offline: OfflineModel };
  /** Instance that results name. */
  readonly worker: string;
}

const LEASE_MS = 6_000;
/** A batch is asked about after a tenth of its age, within these. */
const LOOK_SHARE = 0.1;
const LOOK_LEAST_MS = 1_000;
const LOOK_MOST_MS = 60_000;
/** A request of a worker that died may reach the provider for so long: before, nothing is sent again. */
const SETTLE_MS = 30_000;
/** Who refuses a batch is not sent another one for so long. */
const REFUSED_MS = 600_000;
const RETRY_MS = 1_000;

/** When a batch is looked at next. */
interface Look {
  readonly at: number;
  readonly failures: number;
}

export class Offline {
  readonly #parts: OfflineParts;
  readonly #api: BatchApi;
  readonly #store: OfflineStore;
  readonly #leftovers: Leftovers;
  readonly #lease: Lease;
  readonly #stopped = new AbortController();
  /** Of the active worker: jobs by sequence, and batches by id. */
  readonly #parked = new Map<number, Parked>();
  readonly #batches = new Map<string, Batch>();
  readonly #looks = new Map<string, Look>();
  /** Revision of the record that the batches were read from; undefined: not active. */
  #revision: number | undefined;
  #nextSeq = 1;
  #refusedUntil = 0;
  readonly #intake: Intake;
  readonly #rounds: Rounds;
  readonly #bell: { stop(): void };
  readonly #removeGauges: () => void;

  constructor(parts: OfflineParts) {
    const { bus, clock, log, pool, served, worker } = parts;
    const model = served.model.name;
    this.#parts = parts;
    this.#api = served.offline.api;
    this.#intake = new Intake(served.offline.limits);
    this.#store = new OfflineStore(bus, pool, model);
    this.#leftovers = new Leftovers({ bus, clock, log, pool, model, api: this.#api });
    const key = `lease.batches.${tokenOf(pool)}.${tokenOf(model)}`;
    this.#lease = new Lease({ bus, clock, owner: worker, key, leaseMs: LEASE_MS });
    const each = (name: string, text: string, of: () => number): (() => void) =>
      gauge(name, text, () =>
        this.#revision === undefined ? [] : [{ value: of(), labels: { pool, model } }],
      );
    const gauges = [
      each("offline_jobs", "jobs that wait for a provider's batch or its end", () => this.#parked.size),
      each("offline_batches", "batches at a provider", () => this.#batches.size),
    ];
    this.#removeGauges = () => {
      for (const remove of gauges) remove();
    };
    this.#rounds = new Rounds(() => this.#tryRound());
    this.#bell = bus.subscribe(bellOfflineFilter(pool, model), () => this.#rounds.soon());
  }

  /** Lets go at once: what is at the provider goes on there. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#bell.stop();
    await this.#rounds.stop();
    this.#removeGauges();
    await this.#lease
      .release()
      .catch((err) => this.#parts.log.debug({ err }, "offline: lease not given back"));
  }

  /** @returns whether there is anything to look after */
  async #tryRound(): Promise<boolean> {
    try {
      await this.#round();
    } catch (err) {
      // What is stored differs from what is known here: it is read again.
      if (err instanceof StaleRevision) this.#resign();
      if (!this.#stopped.signal.aborted)
        this.#parts.log.warn({ err, ...this.#names }, "offline: round failed");
    }
    return this.#parked.size + this.#batches.size > 0;
  }

  get #names(): { pool: string; model: string } {
    return { pool: this.#parts.pool, model: this.#parts.served.model.name };
  }

  async #round(): Promise<void> {
    if (!(await this.#lease.hold())) return this.#resign();
    await this.#read();
    const now = this.#parts.clock.now();
    const due = [...this.#batches.values()].filter(({ id }) => (this.#looks.get(id)?.at ?? 0) <= now);
    if (due.length > 0) await this.#forgetPurged();
    await this.#sendUrgentOnline();
    for (const batch of due) await this.#guarded(batch, () => this.#advance(batch));
    await this.#begin();
    await this.#leftovers.clean(this.#stopped.signal);
  }

  /** Somebody else is active, and changes what is known here. */
  #resign(): void {
    this.#parked.clear();
    this.#batches.clear();
    this.#looks.clear();
    this.#revision = undefined;
    this.#nextSeq = 1;
    this.#leftovers.lookAgain();
  }

  /** Thousands of jobs take longer than a lease. */
  async #stayActive(): Promise<void> {
    if (!(await this.#lease.hold())) throw new StaleRevision();
  }

  async #read(): Promise<void> {
    if (this.#revision === undefined) {
      const { batches, revision } = await this.#store.book();
      for (const batch of batches) this.#batches.set(batch.id, batch);
      this.#revision = revision;
    }
    for await (const parked of this.#store.parked(this.#nextSeq)) {
      this.#parked.set(parked.seq, parked);
      this.#nextSeq = parked.seq + 1;
    }
  }

  /** Stopped, or their session was erased. */
  async #forgetPurged(): Promise<void> {
    const subjects = await this.#store.subjects();
    for (const { seq, subject } of this.#parked.values())
      if (!subjects.has(subject)) this.#parked.delete(seq);
  }

  /** An answer one by one gets as long as any turn does; what its batch may still bring is dropped then. */
  async #sendUrgentOnline(): Promise<void> {
    const { clock, served } = this.#parts;
    const now = clock.now();
    const refused = now < this.#refusedUntil ? this.#waiting() : [];
    const late = urgent([...this.#parked.values()], served.offline.urgency, now);
    for (const { seq } of new Set([...late, ...refused])) await this.#sendOnline(seq, "urgent");
  }

  async #sendOnline(seq: number, result: string): Promise<void> {
    await this.#store.sendOnline(seq);
    this.#parked.delete(seq);
    metrics.offline({ ...this.#names, result });
  }

  /** In no batch yet. */
  #waiting(): Parked[] {
    const taken = new Set([...this.#batches.values()].flatMap(({ seqs }) => seqs));
    return [...this.#parked.values()].filter(({ seq }) => !taken.has(seq));
  }

  #living({ seqs }: Batch): Parked[] {
    return seqs.flatMap((seq) => this.#parked.get(seq) ?? []);
  }

  /** What fails for one batch holds up no other. */
  async #guarded({ id }: Batch, work: () => Promise<void>): Promise<void> {
    const { clock, log } = this.#parts;
    try {
      await work();
    } catch (err) {
      this.#stopped.signal.throwIfAborted();
      if (err instanceof StaleRevision) throw err;
      const failures = (this.#looks.get(id)?.failures ?? 0) + 1;
      const waitMs = Math.min(LOOK_MOST_MS, RETRY_MS * 2 ** Math.min(failures, 10));
      this.#looks.set(id, { at: clock.now() + waitMs, failures });
      log.warn({ err, ...this.#names, batch: id }, "offline: a batch is looked at again later");
    }
  }

  #lookAgain({ id }: Batch, afterMs: number): void {
    this.#looks.set(id, { at: this.#parts.clock.now() + afterMs, failures: 0 });
  }

  /** A batch gathers until it is full, its eldest has waited long enough, or a deadline leaves no time. */
  async #begin(): Promise<void> {
    const { clock } = this.#parts;
    const waiting = this.#waiting();
    if (this.#intake.isFull(clock.now())) return;
    // One more than there are: with nothing in flight a batch would leave at once, and nobody waits for these.
    const inFlight = this.#batches.size + 1;
    const { limits } = this.#intake;
    const bounds = { ...limits, maxInFlight: limits.maxInFlight + 1 };
    const { go } = nextBatch(waiting, inFlight, bounds, clock.now());
    if (go.length === 0) return;
    const seqs = go.map(({ seq }) => seq);
    const batch: Batch = { id: clock.id(), sends: 0, failed: false, seqs, at: clock.now() };
    await this.#guarded(batch, () => this.#send(batch));
    if (!this.#batches.has(batch.id)) this.#looks.delete(batch.id);
  }

  /** Written down before anything is sent, and again, as a fence, right before what is paid for. */
  async #send(wanted: Batch): Promise<void> {
    const { clock, served, log } = this.#parts;
    const { signal } = this.#stopped;
    // Sent before, under another mark.
    await this.#leftovers.add(wanted, signal);
    const { lineOf } = served.offline;
    const { lines, seqs, gone } = await this.#store.linesOf(wanted.seqs, lineOf, () => this.#stayActive());
    for (const seq of gone) this.#parked.delete(seq);
    if (lines.length === 0) return this.#forget(wanted);
    const { file: _, remote: __, ...rest } = wanted;
    let batch = await this.#write({ ...rest, seqs, sends: wanted.sends + 1, at: clock.now() });
    try {
      const file = await this.#api.upload(`jetclaw-${markOf(batch)}.jsonl`, lines, signal);
      const uploaded = { ...batch, file, at: clock.now() };
      batch = await this.#write(uploaded).catch((error) => this.#orphan(uploaded, error));
      const { id } = await this.#api.begin(file, markOf(batch), signal);
      await this.#adopt(batch, id);
      metrics.batchSize(seqs.length, { model: served.model.name });
    } catch (error) {
      if (failureOf(error).code !== "model.rejected") throw error;
      // No batch API, no right to it, no money: one by one it may work, and says what is wrong where it does not.
      this.#refusedUntil = clock.now() + REFUSED_MS;
      log.warn({ err: error, ...this.#names }, "offline: batches are refused, jobs are asked one by one");
      await this.#end(batch, "refused");
    }
  }

  /** Whoever has replaced this worker meanwhile knows nothing of the file. */
  async #orphan(batch: Batch, error: unknown): Promise<never> {
    if (error instanceof StaleRevision) await this.#leftovers.add(batch, this.#stopped.signal);
    throw error;
  }

  async #write(batch: Batch): Promise<Batch> {
    await this.#save(new Map(this.#batches).set(batch.id, batch));
    return batch;
  }

  async #forget({ id }: Batch): Promise<void> {
    const left = new Map(this.#batches);
    if (left.delete(id)) await this.#save(left);
    this.#looks.delete(id);
  }

  async #save(batches: ReadonlyMap<string, Batch>): Promise<void> {
    if (this.#revision === undefined) throw new StaleRevision();
    const { revision } = await this.#store.write([...batches.values()], this.#revision);
    this.#revision = revision;
    this.#batches.clear();
    for (const [id, batch] of batches) this.#batches.set(id, batch);
  }

  /** The batch is at the provider. Whoever was replaced meanwhile, and its batch with it, takes it back. */
  async #adopt(batch: Batch, remote: string): Promise<void> {
    try {
      await this.#write({ ...batch, remote, at: this.#parts.clock.now() });
      this.#lookAgain(batch, LOOK_LEAST_MS);
    } catch (error) {
      if (!(error instanceof StaleRevision)) throw error;
      const { batches } = await this.#store.book();
      const isWanted = batches.some(
        (other) => markOf(other) === markOf(batch) && (other.remote ?? remote) === remote,
      );
      if (!isWanted) await this.#leftovers.add({ ...batch, remote }, this.#stopped.signal);
      throw error;
    }
  }

  async #advance(batch: Batch): Promise<void> {
    const { clock } = this.#parts;
    const { signal } = this.#stopped;
    const { remote, at } = batch;
    if (remote === undefined) {
      const found = await this.#api.find(markOf(batch), at, signal);
      if (found) return this.#adopt(batch, found.id);
      if (clock.now() - at >= SETTLE_MS) return this.#send(batch);
      return this.#lookAgain(batch, LOOK_LEAST_MS);
    }
    if (this.#living(batch).length === 0) {
      await this.#leftovers.add(batch, signal);
      metrics.offline({ ...this.#names, result: "cancelled" });
      return this.#forget(batch);
    }
    const told = await this.#api.get(remote, signal);
    if (told?.status !== "running")
      return this.#settle(
        batch,
        told ?? { id: remote, status: "expired", files: [], badLines: [], full: false },
      );
    const ageMs = clock.now() - at;
    this.#lookAgain(batch, Math.min(LOOK_MOST_MS, Math.max(LOOK_LEAST_MS, ageMs * LOOK_SHARE)));
  }

  /** The batch has ended, one way or another. Read again after a takeover it finds only the jobs that are left. */
  async #settle(batch: Batch, told: RemoteBatch): Promise<void> {
    const { signal } = this.#stopped;
    if (told.full) return this.#takeBack(batch);
    if (told.status === "failed" && !batch.failed) return this.#sendAgain(batch, told);
    const traces = this.#living(batch).map(({ trace }) => trace);
    const span = startBatchSpan(this.#parts, batch, traces);
    let total = NO_USAGE;
    for (const file of told.files)
      for await (const end of this.#api.ends(file, signal)) {
        await this.#stayActive();
        total = addUsage(total, await this.#answer(batch, end, span));
      }
    this.#intake.taken();
    span.set(batchResponseAttributes(total));
    span.end(told.status === "completed" ? undefined : new Error(`the batch has ${told.status}`));
    await this.#end(batch, told.status);
  }

  /** The provider has no room for it now: its jobs wait for others to end, or go in smaller batches. */
  async #takeBack(batch: Batch): Promise<void> {
    const tokens = this.#living(batch).reduce((sum, each) => sum + each.tokens, 0);
    await this.#leftovers.add(batch, this.#stopped.signal);
    await this.#forget(batch);
    const { clock, log } = this.#parts;
    this.#intake.refused(tokens, this.#batches.size, clock.now());
    log.warn({ ...this.#names, tokens }, "offline: the provider takes no more tokens now, a batch waits");
  }

  /** The provider looked at the file and began with none of it; without the lines it names, it may. Once. */
  async #sendAgain(batch: Batch, { badLines }: RemoteBatch): Promise<void> {
    for (const line of badLines) {
      const seq = batch.seqs[line];
      if (seq !== undefined && this.#parked.has(seq)) await this.#sendOnline(seq, "failed");
    }
    const seqs = this.#living(batch).map(({ seq }) => seq);
    await this.#send({ ...batch, failed: true, seqs });
  }

  /** What is left of it is asked one by one. */
  async #end(batch: Batch, result: string): Promise<void> {
    for (const { seq } of this.#living(batch)) await this.#sendOnline(seq, result);
    await this.#leftovers.add(batch, this.#stopped.signal);
    await this.#forget(batch);
  }

  /** @returns what it used; nothing where nobody wants it any more */
  async #answer(batch: Batch, { id, answer: body }: LineEnd, span: Span): Promise<Usage> {
    const seq = seqOf(id);
    const parked = this.#parked.get(seq);
    if (!parked || body === undefined) return NO_USAGE;
    const job = await this.#store.job(seq);
    if (!job || lineIdOf(seq, job) !== id) return NO_USAGE;
    const { answer, usage } = readAnswer(this.#parts, body, job);
    // It is asked again with what is left.
    if (!answer) return usage;
    await deliver(this.#parts, { job, parked, batch, answer }, span, this.#stopped.signal);
    await this.#store.remove(seq);
    this.#parked.delete(seq);
    metrics.offline({ ...this.#names, result: "answered" });
    return usage;
  }
}
