// Conversations whose every event is the test's to send: what the gateway does with lost, late and repeated ones.
import type { Conversations, IncomingMessage } from "#actors/conversation/port.ts";
import { textOf } from "#contracts/content.ts";
import { JetclawError } from "#contracts/errors.ts";
import {
  type Answer,
  type EraseReceipt,
  type StreamEvent,
  type Transcript,
  type TranscriptTurn,
  turnEvent,
} from "#contracts/turn.ts";

interface Session {
  readonly turns: TranscriptTurn[];
  readonly stored: StreamEvent[];
  readonly followers: Set<(event: StreamEvent) => void>;
}

export interface Delivery {
  /** False: the live event is lost, the store has it. */
  readonly live?: boolean;
  /** False: the store in memory has lost it. */
  readonly stored?: boolean;
}

export function answerTo(session: string, turn: number, reply: string): Answer {
  const usage = { inputTokens: 1, outputTokens: 1 };
  return {
    session,
    turn,
    reply,
    citations: [],
    model: "scripted",
    cached: false,
    usage,
    outcome: "answered",
  };
}

export class ScriptedConversations implements Conversations {
  readonly sent: IncomingMessage[] = [];
  readonly stops: string[] = [];
  readonly feedbacks: unknown[] = [];
  /** By session: its last turn and its last message before it was erased. */
  readonly #erased = new Map<string, { turn: number; seq: number }>();
  readonly #sessions = new Map<string, Session>();
  /** What happens to a message; by default it is answered at once. */
  onMessage: (message: IncomingMessage) => void = (message) =>
    this.answer(message, `You said: ${textOf(message.body.parts)}`);
  /** Set to make publishing fail. */
  failure: JetclawError | undefined;

  session(tenant: string, session: string): Session {
    const key = `${tenant} ${session}`;
    const found = this.#sessions.get(key) ?? { turns: [], stored: [], followers: new Set() };
    this.#sessions.set(key, found);
    return found;
  }

  get followers(): number {
    return [...this.#sessions.values()].reduce((sum, { followers }) => sum + followers.size, 0);
  }

  async send(message: IncomingMessage): Promise<number> {
    if (this.failure) throw this.failure;
    const seq = this.sent.push(message);
    const { turns } = this.session(message.tenant, message.session);
    const known = turns.some(({ messages }) => messages.some(({ id }) => id === message.id));
    if (!known) setImmediate(() => this.onMessage(message));
    return seq;
  }

  /** Opens a turn for a message and says so. */
  open(message: IncomingMessage, delivery?: Delivery): number {
    const { turns } = this.session(message.tenant, message.session);
    const turn = this.#erasedTurn(message) + turns.length + 1;
    const messages = [{ id: message.id, text: textOf(message.body.parts), at: 1 }];
    turns.push({ turn, messages, reply: null, citations: [], model: null, cached: false, at: 1 });
    this.emit(message, turnEvent(turn, [message.id]), delivery);
    return turn;
  }

  close(
    message: IncomingMessage,
    turn: number,
    reply: string,
    position: { attempt: number; number: number },
    delivery?: Delivery,
  ): void {
    const { turns } = this.session(message.tenant, message.session);
    const at = turn - 1 - this.#erasedTurn(message);
    turns[at] = {
      ...(turns[at] as TranscriptTurn),
      reply,
      model: "scripted",
      outcome: "answered",
    };
    this.emit(
      message,
      { type: "done", turn, ...position, text: reply, answer: answerTo(message.session, turn, reply) },
      delivery,
    );
  }

  delta(
    message: IncomingMessage,
    turn: number,
    attempt: number,
    number: number,
    text: string,
    delivery?: Delivery,
  ): void {
    this.emit(message, { type: "delta", turn, attempt, number, text }, delivery);
  }

  answer(message: IncomingMessage, reply: string, delivery?: Delivery): void {
    const turn = this.open(message, delivery);
    const words = reply.match(/\S+\s*/g) ?? [];
    for (const [n, word] of words.entries()) this.delta(message, turn, 1, n + 1, word, delivery);
    this.close(message, turn, reply, { attempt: 1, number: words.length + 1 }, delivery);
  }

  emit(
    at: { tenant: string; session: string },
    event: StreamEvent,
    { live = true, stored = true }: Delivery = {},
  ): void {
    const session = this.session(at.tenant, at.session);
    if (stored) session.stored.push(event);
    if (live) for (const follower of [...session.followers]) follower(event);
  }

  async stop(tenant: string, session: string): Promise<void> {
    this.stops.push(`${tenant} ${session}`);
  }

  async feedback(
    tenant: string,
    session: string,
    turn: number,
    value: "up" | "down",
    comment?: string,
  ): Promise<void> {
    if (!this.session(tenant, session).turns[turn - 1]) throw new JetclawError("session.not-found");
    this.feedbacks.push({ tenant, session, turn, value, comment });
  }

  async erase(tenant: string, session: string): Promise<EraseReceipt | undefined> {
    const turns = this.session(tenant, session).turns.length;
    this.session(tenant, session).turns.length = 0;
    this.session(tenant, session).stored.length = 0;
    this.#erased.set(`${tenant} ${session}`, {
      turn: this.#erasedTurn({ tenant, session }) + turns,
      seq: this.sent.length,
    });
    return turns > 0 ? { v: 1, id: "receipt", tenant, session, turns, at: 1 } : undefined;
  }

  /** Its turns go on counting. */
  #erasedTurn({ tenant, session }: { readonly tenant: string; readonly session: string }): number {
    return this.#erased.get(`${tenant} ${session}`)?.turn ?? 0;
  }

  async list() {
    return { sessions: [] };
  }

  async exists(tenant: string, session: string): Promise<boolean> {
    return this.session(tenant, session).turns.length > 0;
  }

  async transcript(tenant: string, session: string): Promise<Transcript | undefined> {
    const { turns } = this.session(tenant, session);
    if (turns.length === 0) return undefined;
    return { session, status: turns.at(-1)?.reply === null ? "answering" : "idle", turns: [...turns] };
  }

  async turnOf(
    tenant: string,
    session: string,
    message: string,
    seq = Number.POSITIVE_INFINITY,
  ): Promise<TranscriptTurn | undefined> {
    if (seq <= (this.#erased.get(`${tenant} ${session}`)?.seq ?? 0))
      throw new JetclawError("session.not-found");
    return this.session(tenant, session).turns.find(({ messages }) =>
      messages.some(({ id }) => id === message),
    );
  }

  async extent(tenant: string, session: string) {
    const { turn = 0, seq = 0 } = this.#erased.get(`${tenant} ${session}`) ?? {};
    return {
      turn: turn + this.session(tenant, session).turns.length,
      erasedTurn: turn,
      erasedSeq: seq,
    };
  }

  async follow(
    tenant: string,
    session: string,
    onEvent: (event: StreamEvent) => void,
  ): Promise<{ stop(): void }> {
    const { followers } = this.session(tenant, session);
    followers.add(onEvent);
    return { stop: () => void followers.delete(onEvent) };
  }

  async replay(
    tenant: string,
    session: string,
    after?: { turn: number; attempt: number; number: number },
  ): Promise<StreamEvent[]> {
    const { stored } = this.session(tenant, session);
    const isAfter = (e: StreamEvent): boolean =>
      !after ||
      e.turn > after.turn ||
      (e.turn === after.turn &&
        (e.attempt > after.attempt || (e.attempt === after.attempt && e.number > after.number)));
    return stored.filter(isAfter);
  }
}
