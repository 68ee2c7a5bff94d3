/** Conversations as other rooms use them: publishing, stopping, erasing, reading, following. */
import { decode, encode } from "#contracts/codec.ts";
import { type ErrorCode, JetclawError } from "#contracts/errors.ts";
import { shardOf } from "#contracts/ids.ts";
import {
  CORE,
  DEADLETTER,
  deadLetterFilter,
  inboundStream,
  inboundSubject,
  routeOf,
  TOKENS,
  tokensSessionFilter,
} from "#contracts/subjects.ts";
import {
  answerOfTurn,
  CONVERSATION,
  type EraseReceipt,
  type StreamEvent,
  type Transcript,
  type TranscriptTurn,
  turnEvent,
} from "#contracts/turn.ts";
import { askActor, readActor, readActorState, tellActor } from "#runtime/actor/client.ts";
import type { Clock } from "#runtime/clock.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { sendToActor } from "#runtime/nats/inbound.ts";
import { lastMessage, messagesFrom, nextMessage } from "#runtime/nats/reader.ts";
import type { Deployment } from "#runtime/nats/topology.ts";
import type { ErasedReply } from "./erasing.ts";
import { placeOf, readOldIds } from "./old-ids.ts";
import {
  findTurnOf,
  keptOf,
  lastTurns,
  type PastTurns,
  pastOf,
  REPEATED_ATTEMPT,
  records,
} from "./past-turns.ts";
import type { Conversations, Extent, IncomingMessage, SessionPage, SessionQuery } from "./port.ts";
import { listSessions } from "./sessions.ts";
import { type StoredState, upgradeState } from "./stored.ts";
import type { ConversationState } from "./turn.ts";

const PAGE = 256;
const REPLY_MS = 10_000;

type Position = { readonly turn: number; readonly attempt: number; readonly number: number };

export class ConversationClient implements Conversations {
  readonly #bus: Bus;
  readonly #deployment: Deployment;
  readonly #clock: Clock;

  constructor(bus: Bus, deployment: Deployment, clock: Clock) {
    this.#bus = bus;
    this.#deployment = deployment;
    this.#clock = clock;
  }

  async send(message: IncomingMessage): Promise<number> {
    const { tenant, session, id, body, trace } = message;
    const { seq } = await sendToActor(this.#bus, {
      id,
      tenant,
      kind: CONVERSATION,
      key: session,
      type: "user",
      body,
      at: this.#clock.now(),
      ...(trace ? { trace } : {}),
    });
    return seq;
  }

  async stop(tenant: string, session: string): Promise<void> {
    this.#bus.publish(CORE.control(tenant, session), encode({}));
    await tellActor(this.#bus, this.#clock, { kind: CONVERSATION, tenant, key: session }, "stop", {});
  }

  async feedback(
    tenant: string,
    session: string,
    turn: number,
    value: "up" | "down",
    comment?: string,
  ): Promise<void> {
    if (!(await this.exists(tenant, session))) throw new JetclawError("session.not-found");
    await this.#ask(tenant, session, "feedback", { turn, value, ...(comment ? { comment } : {}) });
  }

  async erase(tenant: string, session: string): Promise<EraseReceipt | undefined> {
    // Asked of nobody, it would leave a record of its own.
    if (!(await this.#leftSomething(tenant, session))) return undefined;
    this.#bus.publish(CORE.control(tenant, session), encode({}));
    return (await this.#ask<ErasedReply>(tenant, session, "erase", {})).receipt;
  }

  /** In this order: what is taken from INBOUND has left a record or a dead letter before it is gone there. */
  async #leftSomething(tenant: string, session: string): Promise<boolean> {
    const address = { kind: CONVERSATION, tenant, key: session };
    const route = routeOf(address);
    const inbound = inboundStream(shardOf(route.partition, this.#deployment.shards));
    return (
      (await nextMessage(this.#bus, inbound, inboundSubject(route))) !== undefined ||
      (await this.#state(tenant, session)) !== undefined ||
      (await lastMessage(this.#bus, DEADLETTER, deadLetterFilter(address))) !== undefined
    );
  }

  async #ask<T>(tenant: string, session: string, type: string, body: unknown): Promise<T> {
    const reply = await askActor<T & { error?: ErrorCode }>(
      this.#bus,
      this.#clock,
      { kind: CONVERSATION, tenant, key: session },
      type,
      body,
      REPLY_MS,
    );
    if (reply.error) throw new JetclawError(reply.error);
    return reply;
  }

  list(query: SessionQuery): Promise<SessionPage> {
    return listSessions({ bus: this.#bus, deployment: this.#deployment }, query);
  }

  async exists(tenant: string, session: string): Promise<boolean> {
    return (await this.#begun(tenant, session)) !== undefined;
  }

  /** As stored: of the closed turns it holds only those that are not in TURNS yet. */
  #state(tenant: string, session: string): Promise<StoredState | undefined> {
    const route = routeOf({ kind: CONVERSATION, tenant, key: session });
    return readActorState<StoredState>(this.#bus, this.#deployment, route, upgradeState);
  }

  async #begun(tenant: string, session: string): Promise<StoredState | undefined> {
    const state = await this.#state(tenant, session);
    return state?.createdAt ? state : undefined;
  }

  async transcript(tenant: string, session: string): Promise<Transcript | undefined> {
    const state = await this.#begun(tenant, session);
    return state && (await this.#read(tenant, session, state));
  }

  /** With all turns after one of them: what is among the last ones is not looked for from the beginning. */
  async #transcriptAfter(tenant: string, session: string, after: number): Promise<Transcript | undefined> {
    const state = await this.#begun(tenant, session);
    if (!state) return undefined;
    const seqs = state.places?.seqs ?? [];
    if (after > 0 && seqs.length > 0) {
      // Of turns that were restored the older ones may lie behind the newer ones.
      const last = await this.#read(tenant, session, state, Math.min(...seqs));
      const pending = state.open ? 0 : Math.min(1, state.pending.length);
      if (last.turns.filter(({ turn }) => turn > after).length >= state.turn + pending - after) return last;
    }
    return await this.#read(tenant, session, state);
  }

  async turnOf(
    tenant: string,
    session: string,
    message: string,
    seq = Number.POSITIVE_INFINITY,
  ): Promise<TranscriptTurn | undefined> {
    const route = routeOf({ kind: CONVERSATION, tenant, key: session });
    const read = await readActor<StoredState>(this.#bus, this.#deployment, route, upgradeState);
    if (read && seq <= read.floor) throw new JetclawError("session.not-found", "it was erased");
    if (!read?.state.createdAt) return undefined;
    const { state, processed } = read;
    const has = ({ messages }: { readonly messages: readonly { readonly id: string }[] }): boolean =>
      messages.some(({ id }) => id === message);
    const running = runningTurn(state);
    if (running && has(running)) return running;
    const stored = state.history.find(has);
    if (stored) return stored;
    if (state.pending.some(({ id }) => id === message)) return undefined;
    const indexed = state.unindexed !== undefined;
    const remembered = processed.has(message);
    // Neither remembered nor ever forgotten: nobody has seen it.
    if (!remembered && !indexed) return undefined;
    if (remembered) {
      const kept = (): Promise<unknown> => keptOf(this.#past, tenant, session);
      const last = (await lastTurns(this.#past, tenant, session, state, kept)).find(({ turn }) => has(turn));
      if (last) return last.turn;
    }
    const at = state.places?.turn === state.turn ? state.places.ids : undefined;
    const chunks = indexed ? await readOldIds(this.#past, tenant, session, at) : [];
    const place = placeOf(chunks, message);
    if (place === undefined && !remembered) return undefined;
    // Not written down yet: then it can only lie behind the last that were.
    const record = await findTurnOf(this.#past, tenant, session, message, place ?? chunks.at(-1)?.seq);
    return record && pastOf(record);
  }

  async extent(tenant: string, session: string): Promise<Extent> {
    const route = routeOf({ kind: CONVERSATION, tenant, key: session });
    const read = await readActor<StoredState>(this.#bus, this.#deployment, route, upgradeState);
    if (!read) return { turn: 0, erasedTurn: 0, erasedSeq: 0 };
    const { state, floor } = read;
    return {
      turn: runningTurn(state)?.turn ?? state.turn,
      erasedTurn: state.erasedTurn ?? 0,
      erasedSeq: floor,
    };
  }

  get #past(): PastTurns {
    return { bus: this.#bus, deployment: this.#deployment };
  }

  async #read(tenant: string, session: string, state: StoredState, from?: number): Promise<Transcript> {
    const turns = new Map<number, TranscriptTurn>();
    const feedback = new Map<number, "up" | "down">();
    for await (const { record } of records(this.#past, tenant, session, from)) {
      if (record.type === "feedback") feedback.set(record.turn, record.value);
      else turns.set(record.turn, pastOf(record));
    }
    // The state is committed before its record is published: what is missing in TURNS is still in the state.
    for (const past of state.history) if (!turns.has(past.turn)) turns.set(past.turn, past);
    const running = runningTurn(state);
    if (running) turns.set(running.turn, running);
    const ordered = [...turns.values()].sort((a, b) => a.turn - b.turn);
    return {
      session,
      status: state.open ? "answering" : state.pending.length > 0 ? "collecting" : "idle",
      turns: ordered.map((t) => ({
        ...t,
        ...(feedback.has(t.turn) ? { feedback: feedback.get(t.turn) } : {}),
      })),
    };
  }

  async follow(
    tenant: string,
    session: string,
    onEvent: (event: StreamEvent) => void,
  ): Promise<{ stop(): void }> {
    const subscription = this.#bus.subscribe(tokensSessionFilter(tenant, session), ({ data }) =>
      onEvent(decode<StreamEvent>(data)),
    );
    await this.#bus.flush();
    return subscription;
  }

  async replay(tenant: string, session: string, after?: Position): Promise<StreamEvent[]> {
    const events: StreamEvent[] = [];
    const filter = tokensSessionFilter(tenant, session);
    for (let seq = 1; ; ) {
      const page = await messagesFrom(this.#bus, TOKENS, filter, seq, PAGE).catch(() => []);
      for (const message of page) events.push(decode<StreamEvent>(message.data));
      if (page.length < PAGE) break;
      seq = (page[page.length - 1]?.seq ?? 0) + 1;
    }
    const wanted = events.filter((e) => !after || isAfter(e, after));
    return withClosedTurns(wanted, after, await this.#transcriptAfter(tenant, session, after?.turn ?? 0));
  }
}

function isAfter(event: Position, after: Position): boolean {
  if (event.turn !== after.turn) return event.turn > after.turn;
  if (event.attempt !== after.attempt) return event.attempt > after.attempt;
  return event.number > after.number;
}

/** The stream lives in memory: for closed turns whose `done` it no longer holds, the transcript stands in. */
function withClosedTurns(
  events: readonly StreamEvent[],
  after: Position | undefined,
  transcript: Transcript | undefined,
): StreamEvent[] {
  const done = new Set(events.filter((e) => e.type === "done").map((e) => e.turn));
  const missing = (transcript?.turns ?? []).filter(
    (t) => t.reply !== null && !done.has(t.turn) && (!after || t.turn > after.turn),
  );
  const lost = missing.flatMap((t): StreamEvent[] => [
    turnEvent(
      t.turn,
      t.messages.map((m) => m.id),
    ),
    {
      type: "done",
      turn: t.turn,
      attempt: REPEATED_ATTEMPT,
      number: 1,
      text: t.reply ?? "",
      answer: answerOfTurn(transcript?.session ?? "", t),
    },
  ]);
  return [...events, ...lost].sort((a, b) => a.turn - b.turn || a.attempt - b.attempt || a.number - b.number);
}

/** The turn that is being answered, or the messages that wait for one. */
function runningTurn(state: ConversationState): TranscriptTurn | undefined {
  const messages = state.open?.messages ?? state.pending;
  if (messages.length === 0) return undefined;
  const turn = state.open?.turn ?? state.turn + 1;
  return {
    turn,
    messages: [...messages],
    reply: null,
    citations: [],
    model: null,
    cached: false,
    at: messages[0]?.at ?? 0,
  };
}
