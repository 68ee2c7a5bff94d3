/**
 * The one place that holds a NATS connection. The rest of the product sees `Bus`: core messages and acknowledged
 * appends, in its own words and errors.
 */
import { type JetStreamClient, type JetStreamManager, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection, PermissionViolationError } from "@nats-io/transport-node";
import { JetclawError } from "#contracts/errors.ts";
import { LIMITS } from "#contracts/limits.ts";
import { CORE } from "#contracts/subjects.ts";
import type { Log } from "../observe/log.ts";
import { type Appended, type AppendOptions, headersOf, readAck, StaleRevision } from "./append.ts";
import { readDirectly } from "./direct-reads.ts";
import type { ConsumerState, LeaderMessage, WhichMessage } from "./leader-answer.ts";
import { readConsumer, readCount, readLeaderAnswer } from "./leader-answer.ts";
import { ASK_SUBJECT, Majority } from "./majority.ts";
import { assertNewEnough, isUserRefused, natsError, notConnected } from "./not-connected.ts";
import { pingOnPulse } from "./ping-pulse.ts";
import { Quorum } from "./quorum.ts";
import { Requests } from "./requests.ts";
import { tryOthersFirst } from "./server-order.ts";
import { Stalls, tellStall } from "./stalls.ts";
import { tlsOf } from "./tls.ts";
import { batchWrites, type Writes } from "./write-batching.ts";

export interface CoreMessage {
  readonly subject: string;
  readonly data: Uint8Array;
  respond(data: Uint8Array): void;
}
export interface Subscription {
  stop(): void;
}
export interface DirectMessage {
  readonly data: Uint8Array;
  readonly seq: number;
  /** What a bucket did with the key, where it is not a plain value: `DEL`, `PURGE`, a marker's reason. */
  readonly operation: string;
}

export interface ConnectOptions {
  readonly servers: string | string[];
  readonly name: string;
  readonly log: Log;
  readonly credentials?: { readonly user?: string; readonly pass?: string; readonly token?: string };
}

const encoder = new TextEncoder();
const NO_DATA = encoder.encode("");
/** How long an append waits for its acknowledgement unless told otherwise. */
const APPEND_MS = 5_000;
/** A server that left two of them unanswered is taken for gone. An idle process beats as often. */
const PING_MS = 4_000;
/** After a move the new server gets this long: what is under way stays unanswered together. */
const REST_MS = 4_000;
/** Permissions are told apart by the beginning of their subject, and so many are named. */
const FAMILY_TOKENS = 2;
const MOST_LACKING = 50;

export class Bus {
  /** For files of this folder only. */
  readonly nc: NatsConnection;
  readonly js: JetStreamClient;
  readonly jsm: JetStreamManager;
  readonly log: Log;
  /** For files of this folder: what may still travel with what others publish in this turn of the event loop. */
  readonly writes: Writes;
  readonly #requests: Requests;
  /** Of a cluster; a single server has no majority to be cut off from. */
  readonly #majority: Majority | undefined;
  readonly #quorum: Quorum | undefined;
  /** From when a process ends together with its own server: that loss is none. */
  endsTogether = false;
  /** For control runs: a client that stays on a node which is cut off. */
  staysIsolated = false;
  #probing = false;
  #online = true;
  /** When the connection was lost or came back last. */
  #turnedAt = 0;
  readonly #stalls: Stalls;
  #movedAt = Number.NEGATIVE_INFINITY;
  #provenAt = Number.NEGATIVE_INFINITY;
  readonly #onReconnect = new Set<() => void>();
  readonly #onDisconnect = new Set<() => void>();

  constructor(nc: NatsConnection, jsm: JetStreamManager, log: Log, writes: Writes) {
    this.nc = nc;
    this.writes = writes;
    this.js = jetstream(nc, { timeout: 5_000 });
    this.jsm = jsm;
    this.log = log;
    this.#stalls = new Stalls((stalled) => tellStall(log, stalled));
    this.#requests = new Requests(nc, this.inbox(), () => void this.suspectIsolation());
    if (nc.info?.cluster !== undefined) {
      this.#majority = new Majority(nc, this.inbox());
      const quorum = new Quorum({
        provenAt: () => this.#provenAt,
        say: () => this.connected && this.publish(CORE.quorum, NO_DATA),
        ask: () => this.suspectIsolation(),
      });
      this.subscribe(CORE.quorum, () => quorum.heard());
      this.#quorum = quorum;
    }
    void this.#watch();
  }

  async #watch(): Promise<void> {
    let userRefused = false;
    for await (const status of this.nc.status()) {
      if (status.type === "reconnect") {
        this.#online = true;
        this.#turnedAt = performance.now();
        userRefused = false;
        // As loud as the loss: who reads of that wants to read that it is over.
        this.log.warn("reconnected to NATS");
        this.#requests.hurry();
        for (const listener of this.#onReconnect) listener();
      } else if (status.type === "disconnect") {
        this.#online = false;
        this.#turnedAt = performance.now();
        if (!this.endsTogether) this.log.warn("lost the connection to NATS, reconnecting");
        for (const listener of this.#onDisconnect) listener();
      } else if (status.type === "error" && status.error instanceof PermissionViolationError)
        this.#refused(status.error);
      else if (status.type === "error" && isUserRefused(status.error) && !userRefused) {
        userRefused = true;
        this.log.error("NATS refuses this user since it lost the connection: trying again");
      }
    }
  }

  /** What the user may not do is answered by nobody, and whoever waits for it only hears of a time-out: so it is said here, once. */
  #refused({ operation, subject }: PermissionViolationError): void {
    // The part that a permission is written for; what follows names tenants and sessions.
    const family = subject.split(".").slice(0, FAMILY_TOKENS).join(".");
    if (this.#lacking.has(`${operation} ${family}`) || this.#lacking.size >= MOST_LACKING) return;
    this.#lacking.add(`${operation} ${family}`);
    if (subject === ASK_SUBJECT) {
      this.#majority?.forbid();
      this.log.warn(
        `the NATS user may not publish ${ASK_SUBJECT}, so a server that is cut off from the others is not left: allow it, then start this process again`,
      );
    } else
      this.log.error({ operation, subject }, "the NATS user lacks a permission: allow it, see nats.conf");
  }
  readonly #lacking = new Set<string>();

  /** Called after each reconnect, when streams in memory may be gone. */
  onReconnect(listener: () => void): Subscription {
    this.#onReconnect.add(listener);
    return { stop: () => void this.#onReconnect.delete(listener) };
  }

  /** Called when the connection is lost: what the server had sent may never arrive. */
  onDisconnect(listener: () => void): Subscription {
    this.#onDisconnect.add(listener);
    return { stop: () => void this.#onDisconnect.delete(listener) };
  }

  /** False from the loss of the connection until it is back. */
  get online(): boolean {
    return this.connected && this.#online;
  }

  get connected(): boolean {
    return !this.nc.isClosed() && !this.nc.isDraining();
  }

  /**
   * Core publish: at most once, stored only where a stream captures the subject. `hurried`: a person waits for it, see
   * `write-batching.ts`.
   */
  publish(subject: string, data: Uint8Array, { hurried = false } = {}): void {
    assertFits(data);
    this.nc.publish(subject, data);
    if (hurried) this.writes.now();
  }

  subscribe(
    subject: string,
    handler: (message: CoreMessage) => void,
    options: { queue?: string } = {},
  ): Subscription & { drain(): Promise<void> } {
    const subscription = this.nc.subscribe(subject, {
      ...(options.queue ? { queue: options.queue } : {}),
      callback: (error, message) => {
        if (error) this.log.error({ err: error, subject }, "subscription failed");
        else
          this.guard(subject, () =>
            handler({
              subject: message.subject,
              data: message.data,
              respond: (data) => void message.respond(data),
            }),
          );
      },
    });
    // On a connection that is gone there is nothing left to come.
    return { stop: () => subscription.unsubscribe(), drain: () => subscription.drain().catch(() => {}) };
  }

  /**
   * For callbacks of this folder: what one of them throws would end the reader of nats.js, and the whole connection
   * would hear nothing until the server counts it for dead.
   */
  guard<T>(subject: string, callback: () => T): T | undefined {
    try {
      return callback();
    } catch (err) {
      this.log.error({ err, subject }, "a message's handler threw, going on with the next");
      return undefined;
    }
  }

  /** A fresh subject on which replies to `replyTo` arrive. */
  inbox(): string {
    return `${this.#inboxPrefix}.${++this.#inboxes}`;
  }
  readonly #inboxPrefix =
    `_INBOX.${Math.random().toString(36).slice(2)}${Math.random().toString(36).slice(2)}`;
  #inboxes = 0;

  /** @throws JetclawError `nats.unavailable` when nobody answers in time. */
  async request(subject: string, data: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    try {
      return (await this.nc.request(subject, data, { timeout: timeoutMs })).data;
    } catch (error) {
      throw natsError(error);
    }
  }

  /**
   * Stores a message and waits for the acknowledgement.
   * @throws StaleRevision, JetclawError `nats.unavailable`, `nats.too-large`
   */
  async append(subject: string, data: Uint8Array, options: AppendOptions = {}): Promise<Appended> {
    assertFits(data);
    const headers = headersOf(options);
    const sentAt = performance.now();
    try {
      const answer = this.#requests.send(subject, data, headers, options.timeoutMs ?? APPEND_MS);
      if (options.hurried) this.writes.now();
      const appended = readAck((await answer).string());
      this.#provenAt = performance.now();
      this.#stalls.stored(subject, appended.stream, this.#provenAt);
      return appended;
    } catch (error) {
      if (error instanceof StaleRevision) throw error;
      const lost = !this.online || sentAt <= this.#turnedAt;
      this.#stalls.failed(subject, { sentAt, lost }, performance.now());
      throw natsError(error);
    }
  }

  /** True while a stream stores nothing: a full disk, no leader, a node that is alone. Whoever needs it is not ready. */
  get stalled(): boolean {
    return this.#stalls.any(performance.now());
  }

  /**
   * The last message of a subject from whichever replica answers: with one replica it is never behind, with more it
   * may be. Undefined when the stream holds none.
   */
  directLast(stream: string, subject: string): Promise<DirectMessage | undefined> {
    return this.#direct(`${stream}.${subject}`, NO_DATA);
  }

  /** The message at a sequence, from whichever replica answers. Undefined when the stream holds none. */
  directAt(stream: string, seq: number): Promise<DirectMessage | undefined> {
    return this.#direct(stream, encoder.encode(JSON.stringify({ seq })));
  }

  async #direct(what: string, query: Uint8Array): Promise<DirectMessage | undefined> {
    const message = await this.#requests.send(`$JS.API.DIRECT.GET.${what}`, query, undefined, APPEND_MS);
    const head = message.headers;
    if (head?.code === 404) return undefined;
    if (head?.code !== 0)
      throw new JetclawError("nats.unavailable", head?.description ?? "not a stored message");
    return {
      data: message.data,
      seq: Number(head.get("Nats-Sequence")),
      operation: head.get("KV-Operation") || head.get("Nats-Marker-Reason"),
    };
  }

  /**
   * One message as a stream's leader holds it: never behind an acknowledged append.
   * @throws JetclawError `nats.unavailable`
   */
  async leaderGet(stream: string, which: WhichMessage): Promise<LeaderMessage | "no-message" | "no-stream"> {
    const query = encoder.encode(JSON.stringify(which));
    return readLeaderAnswer(await this.#askLeader(`STREAM.MSG.GET.${stream}`, query));
  }

  /** How many messages a stream holds, by its leader. @throws JetclawError `nats.unavailable` */
  async countOf(stream: string): Promise<number> {
    return readCount(await this.#askLeader(`STREAM.INFO.${stream}`));
  }

  /** How far a consumer is, by its leader; undefined where there is none. @throws JetclawError `nats.unavailable` */
  async consumerState(stream: string, consumer: string): Promise<ConsumerState | undefined> {
    return readConsumer(await this.#askLeader(`CONSUMER.INFO.${stream}.${consumer}`));
  }

  async #askLeader(what: string, body = NO_DATA): Promise<string> {
    return (await this.#requests.send(`$JS.API.${what}`, body, undefined, APPEND_MS)).string();
  }

  /**
   * Appends are waiting and none was acknowledged for a while, a pull hears nothing, or nobody says that there is a
   * majority. A stream without a leader looks like that, and so does a server that is cut off from the others: there a
   * client stays until it is told to move. The other servers tell them apart.
   */
  async suspectIsolation(): Promise<void> {
    if (!this.#majority || this.#probing || !this.online || performance.now() - this.#movedAt < REST_MS)
      return;
    this.#probing = true;
    const heard = await this.#majority.isHeard();
    this.#probing = false;
    if (heard) this.#provenAt = performance.now();
    else if (this.online && !this.staysIsolated) {
      this.#movedAt = performance.now();
      this.log.warn("the other NATS servers do not answer, moving to one of them");
      this.nc.reconnect().catch(() => {});
    }
  }

  /** @throws JetclawError `nats.unavailable` */
  async flush(): Promise<void> {
    try {
      await this.nc.flush();
    } catch (error) {
      throw natsError(error);
    }
  }

  /** Flushes what was published and closes. */
  async close(): Promise<void> {
    this.#quorum?.stop();
    if (this.nc.isClosed()) return;
    // Acknowledgements of this turn leave at its end: a drain before that would lose them, and their jobs be done again.
    await new Promise((resolve) => setImmediate(resolve));
    // Without a server there is nothing to flush to, and draining says so by throwing.
    const drained = this.nc.drain().catch(() => {});
    await Promise.race([drained, new Promise((resolve) => setTimeout(resolve, 2_000).unref())]);
    await this.nc.close();
  }
}

/** @throws JetclawError `nats.refused` where the server does not know this user, `start.refused`, `nats.unavailable` */
export async function connectBus(options: ConnectOptions): Promise<Bus> {
  let nc: NatsConnection | undefined;
  try {
    nc = await connect({
      servers: options.servers,
      name: options.name,
      maxReconnectAttempts: -1,
      // A server that is restarted with accounts in the making refuses who worked before; left alone, nats.js would give up
      // for good at the second refusal.
      ignoreAuthErrorAbort: true,
      reconnectTimeWait: 250,
      reconnectJitter: 250,
      reconnectJitterTLS: 250,
      pingInterval: PING_MS,
      maxPingOut: 2,
      // A stack kept for every request costs a tenth of a host's CPU; our errors carry their own.
      noAsyncTraces: true,
      timeout: 5_000,
      ...tlsOf([options.servers].flat()),
      ...options.credentials,
    });
    assertNewEnough(nc.info?.version);
    const writes = batchWrites(nc);
    readDirectly(nc, options.log);
    tryOthersFirst(nc);
    pingOnPulse(nc, PING_MS);
    return new Bus(nc, await jetstreamManager(nc, { timeout: 5_000 }), options.log, writes);
  } catch (cause) {
    // A connection that nobody holds reconnects for ever and keeps the process alive.
    await nc?.close();
    throw notConnected([options.servers].flat().join(", "), cause);
  }
}

function assertFits(data: Uint8Array): void {
  if (data.length > LIMITS.payloadBytes - 4_096)
    throw new JetclawError("nats.too-large", `${data.length} bytes, at most ${LIMITS.payloadBytes - 4_096}`);
}

export { type Appended, type AppendOptions, NO_DATA, natsError, StaleRevision };
