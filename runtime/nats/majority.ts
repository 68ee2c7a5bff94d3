/**
 * Asks all servers of a cluster to answer, whatever they store and lead: a client whose server is cut off from the others
 * hears that one alone. Appends and reads cannot tell: what a server that is cut off has led has no leader for seconds,
 * and a client of the others would take its own server for the one that is alone. Servers that were taken out of the
 * cluster never answer again; what tells them from those that are cut off is that the cluster still decides without them.
 */
import { AckPolicy, DeliverPolicy } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { BUCKETS, bucketStream } from "#contracts/subjects.ts";
import { arrived } from "../within.ts";

/** Every server of the cluster answers for the account of who asks. */
export const ASK_SUBJECT = "$SYS.REQ.ACCOUNT.PING.STATZ";
const QUESTION = new TextEncoder().encode(JSON.stringify({ include_unused: true }));
const ANSWER_MS = 1_000;
/** Nobody reads of the consumer that is made to see whether one can be. */
const FORGOTTEN_NS = 1_000 * 1e6;
/** Who is missed so often while the cluster decides is gone for good. */
const DECIDED = 3;

export class Majority {
  readonly #nc: NatsConnection;
  readonly #inbox: string;
  /** Servers that answered the last question. */
  readonly #answered = new Set<string>();
  /** The most that ever did, without those that are gone for good. */
  #known = 0;
  /** Times in a row that the cluster decided while too few answered. */
  #decided = 0;
  #enough: () => void = () => {};
  #forbidden = false;

  constructor(nc: NatsConnection, inbox: string) {
    this.#nc = nc;
    this.#inbox = inbox;
    nc.subscribe(inbox, { callback: (error, message) => void (error ?? this.#hear(message.data)) });
    // How many there are is learned while all is well.
    this.#ask();
  }

  /**
   * False when less than half of the servers that were ever heard of answer, twice asked: one question may be lost with
   * whatever keeps a server or this process busy. Never rejects.
   */
  async isHeard(): Promise<boolean> {
    if (this.#forbidden || (await this.#mostAnswer())) return true;
    const [answered, decided] = await Promise.all([this.#mostAnswer(), this.#decides()]);
    this.#decided = decided && !answered ? this.#decided + 1 : 0;
    if (this.#decided === DECIDED) this.#known = this.#answered.size;
    // Who has never heard of a second server cannot tell.
    return answered || decided || this.#known < 2;
  }

  /** The user may not ask: from now on nobody is, and the server is believed. */
  forbid(): void {
    this.#forbidden = true;
  }

  async #mostAnswer(): Promise<boolean> {
    const heard = new Promise<void>((resolve) => {
      this.#enough = resolve;
    });
    this.#ask();
    await Promise.race([heard, new Promise((resolve) => setTimeout(resolve, ANSWER_MS).unref())]);
    await arrived();
    return this.#isMajority;
  }

  /** A consumer, which is soon forgotten, is made by a majority of all servers that the cluster now has, or not at all. */
  async #decides(): Promise<boolean> {
    if (this.#known < 2) return false;
    const [stream, name] = [bucketStream(BUCKETS.config), `majority-${crypto.randomUUID()}`];
    const config = {
      name,
      ack_policy: AckPolicy.None,
      deliver_policy: DeliverPolicy.New,
      mem_storage: true,
      num_replicas: 1,
      inactive_threshold: FORGOTTEN_NS,
    };
    const body = JSON.stringify({ stream_name: stream, config, action: "create" });
    return await this.#nc
      .request(`$JS.API.CONSUMER.CREATE.${stream}.${name}`, body, { timeout: ANSWER_MS })
      .then(
        (answer) => answer.json<{ error?: unknown }>().error === undefined,
        () => false,
      );
  }

  get #isMajority(): boolean {
    return this.#known > 1 && this.#answered.size > this.#known / 2;
  }

  #ask(): void {
    this.#answered.clear();
    if (!this.#nc.isClosed() && !this.#nc.isDraining())
      this.#nc.publish(ASK_SUBJECT, QUESTION, { reply: this.#inbox });
  }

  #hear(data: Uint8Array): void {
    const name = serverOf(data);
    if (name === undefined) return;
    this.#answered.add(name);
    this.#known = Math.max(this.#known, this.#answered.size);
    if (this.#isMajority) this.#enough();
  }
}

/** Whose answer it is; undefined where nobody answers such questions. */
function serverOf(data: Uint8Array): string | undefined {
  if (data.length === 0) return undefined;
  const { server } = JSON.parse(new TextDecoder().decode(data)) as { server?: { id?: string } };
  return server?.id;
}
