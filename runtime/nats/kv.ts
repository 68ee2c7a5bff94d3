/** Key-value buckets: reads, compare-and-set writes with an optional lifetime, watches as hints. */
import { JetclawError } from "#contracts/errors.ts";
import { type Bus, natsError } from "./connect.ts";
import { follow } from "./follow.ts";
import { headOf } from "./leader-answer.ts";
import { messagesFrom, purge, purgeBefore, subjectsOf } from "./reader.ts";

export interface KvEntry {
  readonly key: string;
  /** Undefined where the key was deleted; the revision still fences. */
  readonly value: Uint8Array | undefined;
  /** Stream sequence of the last write; 0 where the key never existed. */
  readonly revision: number;
}

/** Operations of a bucket that leave no value. */
const REMOVED = new Set(["DEL", "PURGE"]);

export class Kv {
  readonly bucket: string;
  readonly #bus: Bus;

  constructor(bus: Bus, bucket: string) {
    this.#bus = bus;
    this.bucket = bucket;
  }

  subjectOf(key: string): string {
    return `$KV.${this.bucket}.${key}`;
  }

  /** Read from any replica: fast, may be behind where there are several. Write back with the revision it names. */
  async get(key: string): Promise<KvEntry> {
    try {
      const message = await this.#bus.directLast(`KV_${this.bucket}`, this.subjectOf(key));
      if (!message) return { key, value: undefined, revision: 0 };
      return { key, value: message.operation === "" ? message.data : undefined, revision: message.seq };
    } catch (error) {
      throw natsError(error);
    }
  }

  /** Read from the stream's leader: never behind an acknowledged write. @throws JetclawError `nats.unavailable` */
  async getFromLeader(key: string): Promise<KvEntry> {
    const answer = await this.#bus.leaderGet(`KV_${this.bucket}`, { last_by_subj: this.subjectOf(key) });
    if (answer === "no-stream")
      throw new JetclawError("nats.unavailable", `there is no bucket ${this.bucket}`);
    if (answer === "no-message") return { key, value: undefined, revision: 0 };
    const removed =
      REMOVED.has(headOf(answer.head, "KV-Operation")) || headOf(answer.head, "Nats-Marker-Reason") !== "";
    return { key, value: removed ? undefined : answer.data, revision: answer.seq };
  }

  /** Writes whatever is there. @returns the revision */
  async put(key: string, value: Uint8Array, options: { ttlMs?: number } = {}): Promise<number> {
    return (await this.#bus.append(this.subjectOf(key), value, options)).seq;
  }

  /** Writes only over `revision` (0: only where the key never existed). @throws StaleRevision */
  async update(
    key: string,
    value: Uint8Array,
    revision: number,
    options: { ttlMs?: number; timeoutMs?: number } = {},
  ): Promise<number> {
    return (await this.#bus.append(this.subjectOf(key), value, { ...options, expectedRevision: revision }))
      .seq;
  }

  /**
   * Writes a key, whatever is there, while another key of the bucket has a revision: who lost that one writes nothing.
   * @returns the key's revision @throws StaleRevision
   */
  async putWhile(
    key: string,
    value: Uint8Array,
    { key: other, revision }: { key: string; revision: number },
    options: { ttlMs?: number | undefined } = {},
  ): Promise<number> {
    const expected = { expectedRevision: revision, expectedOf: this.subjectOf(other) };
    return (await this.#bus.append(this.subjectOf(key), value, { ...options, ...expected })).seq;
  }

  /**
   * Removes every key that matches, one or many, and leaves no marker behind: nothing tells a watcher.
   * @param upTo what was written since this revision stays @returns how many
   */
  async drop(filter: string, upTo?: number): Promise<number> {
    const [stream, subject] = [`KV_${this.bucket}`, this.subjectOf(filter)];
    if (upTo === undefined) return await purge(this.#bus, stream, subject);
    return await purgeBefore(this.#bus, stream, subject, upTo + 1);
  }

  /** The live entries that match a filter, `batch` at a time, from any replica. */
  async *entries(filter: string, batch = 256): AsyncGenerator<KvEntry> {
    for (let seq = 1; ; ) {
      const page = await messagesFrom(this.#bus, `KV_${this.bucket}`, this.subjectOf(filter), seq, batch);
      // A marker of a deletion has no value.
      for (const { subject, data, seq: revision } of page)
        if (data.length > 0) yield { key: subject.slice(this.subjectOf("").length), value: data, revision };
      const last = page.at(-1);
      if (last === undefined || page.length < batch) return;
      seq = last.seq + 1;
    }
  }

  /** The keys that match a filter with NATS wildcards, by the leader; for a while those that have expired are among them. */
  async keys(filter: string): Promise<string[]> {
    const prefix = this.subjectOf("").length;
    const subjects = await subjectsOf(this.#bus, `KV_${this.bucket}`, this.subjectOf(filter));
    return [...subjects].map((subject) => subject.slice(prefix));
  }

  /**
   * Calls back with the current entries and then with changes. A hint, not a log: intermediate values are skipped and
   * it can be silent for seconds across a restart. Resolves when the current entries have been delivered.
   */
  async watch(filter: string, onEntry: (entry: KvEntry) => void): Promise<{ stop(): void }> {
    const prefix = this.subjectOf("").length;
    const follower = await follow(this.#bus, {
      stream: `KV_${this.bucket}`,
      filter: this.subjectOf(filter),
      from: "last",
      onMessage: ({ subject, data, seq, operation }) =>
        onEntry({
          key: subject.slice(prefix),
          value: operation === "" ? data : undefined,
          revision: seq,
        }),
    });
    return { stop: () => void follower.stop() };
  }
}
