/**
 * Answers that come for nobody but the cache: a share of what it serves is asked of the model all the same, as a
 * `deferred` job without the conversation before it. No actor hears of it; an answer that is lost is a lesson less.
 */
import { LRUCache } from "lru-cache";
import type { ReplyEvent } from "#contracts/chat.ts";
import { decodeUntrusted } from "#contracts/codec.ts";
import { LIMITS } from "#contracts/limits.ts";
import { CORE } from "#contracts/subjects.ts";
import type { Clock } from "#runtime/clock.ts";
import type { Bus, Subscription } from "#runtime/nats/connect.ts";
import type { AnswerCache, CacheQuery } from "../cache/port.ts";

/** A check may wait long for a free worker or a batch, and nobody waits for it. */
const DEADLINE_MS = LIMITS.dedupeWindowMs;
const EXPECTED = 10_000;

interface Expected {
  readonly query: CacheQuery;
  readonly session: string;
}

export class Checks {
  readonly #cache: AnswerCache;
  readonly #clock: Clock;
  readonly #host: string;
  readonly #expected: LRUCache<string, Expected>;
  /** How long an answer may take. */
  readonly deadlineMs: number;
  readonly #replies: Subscription;

  constructor(
    bus: Bus,
    parts: {
      readonly cache: AnswerCache;
      readonly clock: Clock;
      readonly instance: string;
      readonly deadlineMs?: number | undefined;
    },
  ) {
    this.deadlineMs = Math.max(DEADLINE_MS, parts.deadlineMs ?? 0);
    this.#expected = new LRUCache({ max: EXPECTED, ttl: 2 * this.deadlineMs });
    this.#cache = parts.cache;
    this.#clock = parts.clock;
    this.#host = `${parts.instance} checks`;
    const filter = CORE.replyAll(this.#host);
    this.#replies = bus.subscribe(filter, ({ subject, data }) =>
      this.#hear(subject.slice(filter.length - 1), decodeUntrusted<ReplyEvent>(data)),
    );
  }

  /** @returns where the answer goes */
  expect(query: CacheQuery, session: string): string {
    const id = this.#clock.id();
    this.#expected.set(id, { query, session });
    return CORE.reply(this.#host, id);
  }

  stop(): void {
    this.#replies.stop();
  }

  #hear(id: string, event: ReplyEvent): void {
    const expected = this.#expected.get(id);
    if (!expected || event.type !== "result") return;
    this.#expected.delete(id);
    const { finish, text: reply, citations, model } = event.result;
    if (finish === "stop" || finish === "length")
      void this.#cache.store(expected.query, { reply, citations, model }, expected.session);
  }
}
