/** The dead letters as an operator sees them: list, show, return one to its actor, drop one. */
import { decode } from "#contracts/codec.ts";
import { encodeEnvelope } from "#contracts/envelope.ts";
import { JetclawError } from "#contracts/errors.ts";
import {
  actorsBucket,
  DEADLETTER,
  type DeadLetterQuery,
  deadLetterFilter,
  inboundSubject,
  routeOf,
} from "#contracts/subjects.ts";
import type { Bus } from "../nats/connect.ts";
import { shardOfRoute } from "../nats/inbound.ts";
import { Kv } from "../nats/kv.ts";
import { lastMessage, messagesFrom, remove, type StoredMessage } from "../nats/reader.ts";
import type { Deployment } from "../nats/topology.ts";
import type { DeadBytes, DeadLetter, DeadMessage } from "./dead-letter.ts";
import { decodeRecord } from "./record.ts";

/** What a list shows of a letter: no text of any message. */
export interface DeadLetterLine {
  readonly reference: string;
  readonly stream: string;
  /** Undefined where nobody could read the message, and its subject does not say it. */
  readonly kind?: string | undefined;
  readonly tenant?: string | undefined;
  readonly key?: string | undefined;
  readonly type?: string | undefined;
  readonly id?: string | undefined;
  readonly reason: string;
  /** Of the stack: equal for the same bug. */
  readonly digest?: string | undefined;
  readonly attempts: number;
  readonly redriven: number;
  /** Ms since the epoch. */
  readonly at: number;
}

export interface DeadLetterPage {
  readonly letters: readonly DeadLetterLine[];
  /** Where the next page begins; undefined on the last one. */
  readonly next?: number | undefined;
}

export interface ListQuery extends Omit<DeadLetterQuery, "reference"> {
  /** Only letters from then on, ms since the epoch. */
  readonly sinceAt?: number | undefined;
  /** `next` of the page before. */
  readonly from?: number | undefined;
  readonly limit?: number | undefined;
}

export type ShownLetter = DeadMessage | (Omit<DeadBytes, "bytes"> & { readonly base64: string });

/** `redriven`: it is on its way. `settled`: nobody waits for it any more, nothing was sent. */
export type RedriveResult = "redriven" | "settled";

export interface DeadLettersOptions {
  readonly bus: Bus;
  readonly deployment: Pick<Deployment, "shards">;
  /** Returns what only the rest of the deployment can read, such as a job. @throws JetclawError `dead.unreadable` */
  redriveBytes(letter: DeadBytes): Promise<RedriveResult>;
}

const LINES = 100;
/** Letters can be megabytes each, and a page is held in memory. */
const READ_AT_ONCE = 16;

export class DeadLetters {
  readonly #options: DeadLettersOptions;

  constructor(options: DeadLettersOptions) {
    this.#options = options;
  }

  /** Letters in the order in which they were kept. @throws JetclawError `nats.unavailable` */
  async list({ sinceAt = 0, from = 1, limit = LINES, ...query }: ListQuery): Promise<DeadLetterPage> {
    const letters: DeadLetterLine[] = [];
    const filter = deadLetterFilter(query);
    for (let seq = from; ; ) {
      const page = await messagesFrom(this.#options.bus, DEADLETTER, filter, seq, READ_AT_ONCE);
      for (const message of page) {
        seq = message.seq + 1;
        const letter = decode<DeadLetter>(message.data);
        if (letter.at < sinceAt) continue;
        if (letters.length === limit) return { letters, next: message.seq };
        letters.push(lineOf(letter, message.subject));
      }
      if (page.length < READ_AT_ONCE) return { letters };
    }
  }

  /** One letter, whole. @throws JetclawError `dead.not-found`, `nats.unavailable` */
  async show(reference: string): Promise<ShownLetter> {
    const letter = decode<DeadLetter>((await this.#find(reference)).data);
    if ("envelope" in letter) return letter;
    const { bytes, ...rest } = letter;
    return { ...rest, base64: Buffer.from(bytes).toString("base64") };
  }

  /**
   * Returns a message to its actor under its original id, and drops the letter. The actor handles it while it counts it
   * as given up, so a second redrive, or one of a message that was processed meanwhile, changes nothing.
   * @throws JetclawError `dead.not-found`, `dead.unreadable`, `nats.unavailable`
   */
  async redrive(reference: string): Promise<RedriveResult> {
    const { bus } = this.#options;
    const { data, seq } = await this.#find(reference);
    const letter = decode<DeadLetter>(data);
    if (!("envelope" in letter)) {
      const result = await this.#options.redriveBytes(letter);
      if (result === "redriven") await remove(bus, DEADLETTER, seq);
      return result;
    }
    if (!(await this.#isOwed(letter))) return "settled";
    const { envelope } = letter;
    const { replyTo: _, ...message } = envelope;
    await bus.append(
      inboundSubject(routeOf(envelope)),
      encodeEnvelope(letter.unowned ? message : { ...message, redriven: (envelope.redriven ?? 0) + 1 }),
    );
    // By its sequence: given up again meanwhile, it stands here as a new letter.
    await remove(bus, DEADLETTER, seq);
    return "redriven";
  }

  /** Drops a letter for good. @throws JetclawError `dead.not-found`, `nats.unavailable` */
  async remove(reference: string): Promise<void> {
    const { seq } = await this.#find(reference);
    await remove(this.#options.bus, DEADLETTER, seq);
  }

  /** Whether its actor counts it as given up. What it says is only news for the operator: the actor itself decides. */
  async #isOwed({ unowned, envelope }: DeadMessage): Promise<boolean> {
    if (unowned) return true;
    const route = routeOf(envelope);
    const kv = new Kv(this.#options.bus, actorsBucket(shardOfRoute(route, this.#options.deployment)));
    const { value } = await kv.getFromLeader(route.path);
    return value !== undefined && decodeRecord(value).givenUp.includes(envelope.id);
  }

  async #find(reference: string): Promise<StoredMessage> {
    const found = REFERENCE.test(reference)
      ? await lastMessage(this.#options.bus, DEADLETTER, deadLetterFilter({ reference }))
      : undefined;
    if (!found) throw new JetclawError("dead.not-found");
    return found;
  }
}

const REFERENCE = /^[0-9a-f]{12}$/;

function lineOf(letter: DeadLetter, subject: string): DeadLetterLine {
  const { reference, stream, reason, at } = letter;
  if (!("envelope" in letter)) {
    const [kind, tenant, key] = subject.split(".").slice(2).map(idOfToken);
    return { reference, stream, kind, tenant, key, reason, at, attempts: 0, redriven: 0 };
  }
  const { kind, tenant, key, type, id, digest, attempts, envelope } = letter;
  return {
    reference,
    stream,
    kind,
    tenant,
    key,
    type,
    id,
    reason,
    digest,
    attempts: attempts.length,
    redriven: envelope.redriven ?? 0,
    at,
  };
}

/** Of bytes the subject alone says whose they are, where the id is its own token. */
const idOfToken = (token: string): string | undefined =>
  token === "unknown" || token.startsWith("=") ? undefined : token;
