/** Messages sent when they are due, whether or not earlier ones were answered, and the turn records that answer them. */
import { decode } from "#contracts/codec.ts";
import { CONVERSATION, type TurnRecord } from "#contracts/turn.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { sendToActor } from "#runtime/nats/inbound.ts";

export interface Question {
  readonly tenant: string;
  readonly session: string;
  readonly text: string;
  /** The tenant's default when left out. */
  readonly assistant?: string;
  /** What the benchmark counts it as. */
  readonly group: string;
}

/** A question and what became of it. Times are ms since the loop was made. */
export interface Asked extends Question {
  readonly dueAt: number;
  /** Different turn records that name its message: exactly one when nothing is lost or doubled. */
  records: number;
  /** Of the first of them: the same one may be published again, and is stored once. */
  recordId: string | undefined;
  /** Undefined while it is not answered. */
  latencyMs: number | undefined;
  record: Pick<TurnRecord, "outcome" | "model" | "route" | "error" | "turn" | "usage"> | undefined;
  /** The message was not stored. */
  unsent: boolean;
}

export const ANSWERS = ["model", "smaller", "extract", "refused", "failed", "none"] as const;
export type AnswerKind = (typeof ANSWERS)[number];

const POLL_MS = 1;
const SETTLE_POLL_MS = 50;

export class OpenLoop {
  readonly asked: Asked[] = [];
  readonly #bus: Bus;
  readonly #byId = new Map<string, Asked>();
  readonly #onAnswer: (asked: Asked) => void;
  readonly #startedAt = performance.now();
  #waiting = 0;

  private constructor(bus: Bus, onAnswer: (asked: Asked) => void) {
    this.#bus = bus;
    this.#onAnswer = onAnswer;
  }

  static async open(bus: Bus, onAnswer: (asked: Asked) => void = () => {}): Promise<OpenLoop> {
    const loop = new OpenLoop(bus, onAnswer);
    bus.subscribe("turn.>", ({ data }) => loop.#onRecord(decode<TurnRecord>(data)));
    await bus.flush();
    return loop;
  }

  now(): number {
    return performance.now() - this.#startedAt;
  }

  /** Stored and not answered yet. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Sends at the moments, which are on this loop's clock; ends with them or the signal. */
  async play(moments: Iterable<number>, next: () => Question, signal?: AbortSignal): Promise<void> {
    for (const dueAt of moments) {
      // One timer a pause and none for what is late: a loop that lags must send, not wait.
      while (this.now() < dueAt) {
        if (signal?.aborted) return;
        await new Promise((resolve) =>
          setTimeout(resolve, Math.min(50, Math.max(POLL_MS, dueAt - this.now()))),
        );
      }
      if (signal?.aborted) return;
      this.ask(next(), dueAt);
    }
  }

  /** Timed from when it was due: a client that is late must not hide the wait. */
  ask(question: Question, dueAt = this.now()): void {
    const asked: Asked = {
      ...question,
      dueAt,
      records: 0,
      recordId: undefined,
      latencyMs: undefined,
      record: undefined,
      unsent: false,
    };
    const id = `q${this.asked.length}`;
    this.asked.push(asked);
    this.#byId.set(id, asked);
    this.#waiting++;
    sendToActor(this.#bus, {
      id,
      tenant: question.tenant,
      kind: CONVERSATION,
      key: question.session,
      type: "user",
      body: {
        parts: [{ type: "text", text: question.text }],
        channel: "web",
        locale: "en",
        ...(question.assistant === undefined ? {} : { assistant: question.assistant }),
      },
      at: Date.now(),
    }).catch(() => {
      // Stored after all: only its acknowledgement was lost.
      if (asked.record) return;
      asked.unsent = true;
      this.#waiting--;
    });
  }

  /** Resolves when everything was answered, or after the limit. */
  async settled(limitMs: number): Promise<void> {
    const until = this.now() + limitMs;
    while (this.#waiting > 0 && this.now() < until)
      await new Promise((resolve) => setTimeout(resolve, SETTLE_POLL_MS));
  }

  #onRecord(record: TurnRecord): void {
    if (record.type !== "turn") return;
    const { outcome, model, route, error, turn, usage } = record;
    for (const { id } of record.messages) {
      const asked = this.#byId.get(id);
      if (!asked || asked.recordId === record.id) continue;
      if (asked.records++ > 0) continue;
      asked.recordId = record.id;
      if (!asked.unsent) this.#waiting--;
      asked.unsent = false;
      asked.latencyMs = this.now() - asked.dueAt;
      asked.record = { outcome, model, route, error, turn, usage };
      this.#onAnswer(asked);
    }
  }
}

/** What kind of answer it was; `smaller` is the tier of the pool that new conversations are moved to. */
export function kindOf({ record }: Pick<Asked, "record">): AnswerKind {
  if (!record) return "none";
  if (record.error === "load.refused") return "refused";
  if (record.outcome !== "answered") return "failed";
  if (record.model === "kb-extract") return "extract";
  return record.route?.tier === "small" ? "smaller" : "model";
}

/** The load level that its record names; a record made at level 0 names none. */
export function levelOf({ record }: Pick<Asked, "record">): number {
  for (const reason of record?.route?.reasons ?? []) {
    const level = /^load level (\d)/.exec(reason)?.[1];
    if (level !== undefined) return Number(level);
  }
  return 0;
}

/** Answers of a model in an ongoing conversation that came from another tier than its first one. */
export function tierChanges(asked: readonly Asked[]): number {
  const first = new Map<string, string>();
  let changes = 0;
  for (const { tenant, session, record } of [...asked].sort(
    (a, b) => (a.record?.turn ?? 0) - (b.record?.turn ?? 0),
  )) {
    const tier = record?.route?.tier;
    if (!record || tier === undefined) continue;
    const key = `${tenant}/${session}`;
    const before = first.get(key);
    if (before === undefined) first.set(key, tier);
    else if (before !== tier) changes++;
  }
  return changes;
}
