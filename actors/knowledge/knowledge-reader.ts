/**
 * One reader of KNOWLEDGE in this process: follows the stream, tells everybody its position and proves itself fresh.
 * It joins the readers with position 0 before it reads anything, so that no store overlooks it. What it makes of the
 * changes is its owner's: an index, or the revisions alone.
 */
import { decode } from "#contracts/codec.ts";
import { JetclawError } from "#contracts/errors.ts";
import { CORE, KNOWLEDGE, knowledgeFilter } from "#contracts/subjects.ts";
import { type Clock, systemClock } from "#runtime/clock.ts";
import type { Bus, Subscription } from "#runtime/nats/connect.ts";
import { follow } from "#runtime/nats/follow.ts";
import { lastMessage, type StoredMessage, streamState } from "#runtime/nats/reader.ts";
import type { Log } from "#runtime/observe/log.ts";
import { announce, type Beat } from "#runtime/observe/presence.ts";
import { patience, within } from "#runtime/within.ts";
import { Freshness } from "./freshness.ts";
import { READER_ROLE } from "./readers.ts";

/** A suspect reader keeps a question waiting for at most this long. */
const PROOF_MS = 300;
/** How long it tries on, question or not. */
const LONGEST_PROOF_MS = 2_000;
/** Catching up at the start: building an index of 100,000 documents takes about a minute. */
const START_MS = 300_000;
/** A change and its vectors are told at once, what comes within this time after them together. */
const AT_ONCE = 2;
const COALESCE_MS = 3;

export interface ReaderOptions {
  /** Unique id of the process. */
  readonly instance: string;
  readonly log: Log;
  readonly clock?: Clock | undefined;
}

export interface ReaderParts extends ReaderOptions {
  /** Subjects and sequences alone, without the documents. */
  readonly headersOnly?: boolean;
  /** The next change waits for a promise. */
  readonly apply: (message: StoredMessage) => void | Promise<void>;
  /** The stream is another one, or has lost its end: what was applied does not count, and all of it comes once more. */
  readonly onAnew: () => void;
  /** Where vectors are searched: their space, and up to which change of KNOWLEDGE those in this process's memory are. */
  readonly vectors?: () => { readonly space: string; readonly indexed: number | undefined };
}

export class KnowledgeReader {
  readonly #bus: Bus;
  readonly #log: Log;
  readonly #instance: string;
  readonly #parts: ReaderParts;
  readonly #freshness = new Freshness(performance.now());
  readonly #waiting = new Set<() => void>();
  readonly #echo: Subscription;
  readonly #beats: { now(): void; stop(): void };
  #follower: { stop(): Promise<void> } | undefined;
  #position = 0;
  /** When the change at the position was stored, and the newest of all. */
  #positionAt = 0;
  #newestAt = 0;
  #joined = false;
  #proof: Promise<boolean> | undefined;
  #beatTimer: NodeJS.Timeout | undefined;
  #toldLately = 0;
  #untold = false;

  constructor(bus: Bus, parts: ReaderParts) {
    const { instance, log, clock = systemClock } = parts;
    this.#bus = bus;
    this.#parts = parts;
    this.#log = log;
    // A process may hold more than one reader, and each is waited for.
    this.#instance = `${instance}/${clock.id()}`;
    this.#echo = bus.subscribe(CORE.roleHeartbeat(READER_ROLE), ({ data }) => this.#hear(decode<Beat>(data)));
    this.#beats = announce(
      bus,
      { role: READER_ROLE, instance: this.#instance },
      () => this.#info(),
      () => false,
    );
  }

  /** @throws JetclawError `nats.unavailable` when catching up takes too long. */
  async start(): Promise<void> {
    await this.#bus.flush();
    this.#follower = await follow(this.#bus, {
      stream: KNOWLEDGE,
      filter: knowledgeFilter(),
      from: "last",
      headersOnly: this.#parts.headersOnly ?? false,
      onMessage: (message) => this.#apply(message),
      onAnew: () => this.#anew(),
    });
    this.#joined = true;
    // The consumer may live on a replica that is behind.
    if (!(await this.#catchUp(START_MS)))
      throw new JetclawError("nats.unavailable", "the knowledge index does not catch up");
  }

  /** Resolves at once while this process is fresh, and after at most 300 ms where it has to prove itself. */
  async settled(): Promise<void> {
    if (this.fresh()) return;
    if (!(await within(this.#prove(), patience(PROOF_MS))))
      this.#log.warn("the index is behind or cut off, cached answers are not served");
  }

  /** False while changes may have been acknowledged as indexed without this process: nothing cached may be served. */
  fresh(): boolean {
    return this.#freshness.fresh(performance.now());
  }

  /** Highest sequence of KNOWLEDGE that the index has passed. */
  get position(): number {
    return this.#position;
  }

  /** When the newest change was stored, ms since the epoch. */
  get newestAt(): number {
    return this.#newestAt;
  }

  /** Something that others wait for has moved. */
  moved(): void {
    if (!this.#joined) return;
    if (this.#toldLately < AT_ONCE) this.#tell();
    else this.#untold = true;
  }

  /** Leaves the readers. */
  async stop(): Promise<void> {
    this.#joined = false;
    clearTimeout(this.#beatTimer);
    this.#beats.stop();
    this.#echo.stop();
    await this.#follower?.stop();
  }

  #info(): Beat["info"] {
    const vectors = this.#parts.vectors?.();
    return {
      position: this.#joined ? this.#position : 0,
      newestAt: this.#newestAt,
      sentAt: performance.now(),
      ...(vectors ? { space: vectors.space } : {}),
      ...(vectors?.indexed === undefined ? {} : { indexed: vectors.indexed }),
    };
  }

  #apply(message: StoredMessage): void | Promise<void> {
    try {
      const work = this.#parts.apply(message);
      if (work) return work.catch((err) => this.#failed(err, message.seq)).then(() => this.#passed(message));
    } catch (err) {
      this.#failed(err, message.seq);
    }
    this.#passed(message);
  }

  /** One document that cannot be indexed must not keep all others from being acknowledged. */
  #failed(err: unknown, seq: number): void {
    this.#log.error({ err, seq }, "document not indexed");
  }

  #passed({ seq, at }: StoredMessage): void {
    this.#newestAt = Math.max(this.#newestAt, at);
    if (seq > this.#position) {
      this.#position = seq;
      this.#positionAt = at;
    }
    this.#changed();
    this.moved();
  }

  /** Nobody may wait for less than all of it, and nothing is served meanwhile. */
  #anew(): void {
    this.#log.warn("the documents come from another stream than before, all of them are read again");
    this.#freshness.doubt();
    this.#position = 0;
    this.#parts.onAnew();
    if (this.#joined) this.#tell();
  }

  #tell(): void {
    this.#untold = false;
    this.#toldLately++;
    this.#beats.now();
    this.#beatTimer ??= setTimeout(() => {
      this.#beatTimer = undefined;
      this.#toldLately = 0;
      if (this.#untold) this.#tell();
    }, COALESCE_MS);
  }

  #hear(beat: Beat): void {
    if (beat.instance !== this.#instance) return;
    this.#freshness.heard(Number(beat.info.sentAt));
    this.#changed();
    // A process that says that it is not ready is asked nothing: it has to prove itself when it is heard again.
    if (this.#joined && !this.fresh()) void this.#prove();
  }

  /** One proof at a time serves everybody who waits. @returns whether it succeeded */
  #prove(): Promise<boolean> {
    this.#proof ??= this.#catchUp(LONGEST_PROOF_MS).finally(() => {
      this.#proof = undefined;
    });
    return this.#proof;
  }

  /**
   * First be heard, then ask the leader: whoever writes after our question sees us and waits for us, and what was
   * written before it is in the leader's answer.
   */
  async #catchUp(timeoutMs: number): Promise<boolean> {
    const until = performance.now() + timeoutMs;
    const asked = performance.now();
    this.#beats.now();
    if (!(await this.#until(() => this.#freshness.hasHeardSince(asked), until))) return false;
    const [before, beforeAt] = [this.#position, this.#positionAt];
    const last = await this.#lastChange(until);
    if (last === undefined) return false;
    // Another change has that number now: the stream was replaced, and its follower, who reads all of it anew, is late.
    if (last.seq === before && before > 0 && last.at !== beforeAt) return false;
    if (!(await this.#until(() => this.#position >= last.seq, until))) return false;
    this.#freshness.caughtUp();
    this.#beats.now();
    return true;
  }

  async #lastChange(until: number): Promise<Pick<StoredMessage, "seq" | "at"> | undefined> {
    return await within(
      lastChange(this.#bus, this.#position).catch(() => undefined),
      until - performance.now(),
    );
  }

  async #until(holds: () => boolean, until: number): Promise<boolean> {
    while (!holds()) {
      const left = until - performance.now();
      if (left <= 0) return false;
      let wake: () => void = () => {};
      const changed = new Promise<void>((resolve) => {
        wake = resolve;
      });
      this.#waiting.add(wake);
      await within(changed, left);
      this.#waiting.delete(wake);
    }
    return true;
  }

  #changed(): void {
    for (const wake of this.#waiting) wake();
  }
}

/**
 * Undefined where the stream does not reach as far as what was seen of it. For the last message of all the server looks at
 * none of its subjects; for the last one of a filter at every one.
 */
async function lastChange(bus: Bus, seen: number): Promise<Pick<StoredMessage, "seq" | "at"> | undefined> {
  const last = (await lastMessage(bus, KNOWLEDGE, ">")) ??
    (await lastMessage(bus, KNOWLEDGE, knowledgeFilter())) ?? { seq: 0, at: 0 };
  // Below what was seen: either somebody has removed a message, or the stream has lost its end.
  const isCut = last.seq < seen && (await streamState(bus, KNOWLEDGE)).lastSeq < seen;
  return isCut ? undefined : last;
}
