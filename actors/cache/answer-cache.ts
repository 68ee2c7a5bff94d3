/**
 * Answers to questions that were answered before. No entry is believed: before it is served, every document it rests on
 * has to have the revision it had then, by this process's own index. So a late invalidator, a stale replica or a lost
 * event costs a hit, never a stale answer.
 */

import type { PriorityClass } from "#contracts/subjects.ts";
import { type Clock, systemClock } from "#runtime/clock.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import type { Log } from "#runtime/observe/log.ts";
import { metrics } from "#runtime/observe/metrics.ts";
import { patience, within } from "#runtime/within.ts";
import { type Judgement, judge, type TurnAtHand } from "./cacheability.ts";
import { Entries } from "./entries.ts";
import { type CurrentRevisions, type Entry, entryOf, isCurrent } from "./entry.ts";
import { Flights } from "./flights.ts";
import { fingerprintOf, originOf } from "./key.ts";
import type {
  AnswerCache,
  CachedAnswer,
  CacheHostStatus,
  CacheQuery,
  ExplainedLevels,
  Flight,
  Hit,
  Position,
} from "./port.ts";
import { type Asked, SemanticLevel, type SemanticSettings, type VectorOf } from "./semantic-level.ts";

/** The store has so long to answer; what is later is a miss. With the 200 ms of an embedding a turn stays within 300. */
const SHARED_MS = 100;
/** After that it is left alone for so long. */
const REST_MS = 5_000;
const MEMORY_BYTES = 128 * 1024 * 1024;

export interface AnswerCacheOptions {
  readonly revisions: CurrentRevisions;
  readonly log: Log;
  readonly clock?: Clock;
  /** Bound of what is held in memory. */
  readonly memoryBytes?: number | undefined;
  /** How long an answer may take to come in, ms; an erasure is remembered for longer. */
  readonly answersMs?: number | undefined;
  /** True while no other host answers questions. */
  readonly alone?: () => boolean;
  /** Absent: identical requests only. */
  readonly semantic?: SemanticSettings | undefined;
  readonly vectorOf?: VectorOf | undefined;
}

export class LeveledCache implements AnswerCache {
  readonly #entries: Entries;
  readonly #flights: Flights;
  readonly #semantic: SemanticLevel | undefined;
  readonly #revisions: CurrentRevisions;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #fingerprints = new WeakMap<CacheQuery, string>();
  readonly #asked = new WeakMap<CacheQuery, Asked>();
  /** The store did not answer in time: it is not asked before, and no other turn waits for it. */
  #restsUntil = 0;
  readonly #served = { response: 0, semantic: 0, misses: 0 };

  constructor(bus: Bus, options: AnswerCacheOptions) {
    const { revisions, log, clock = systemClock, memoryBytes = MEMORY_BYTES, alone = () => false } = options;
    this.#revisions = revisions;
    this.#log = log;
    this.#clock = clock;
    this.#entries = new Entries(bus, {
      clock,
      memoryBytes,
      answersMs: options.answersMs,
      onAdded: (entry) => this.#semantic?.add(entry),
      onRemoved: (entry) => this.#semantic?.remove(entry),
    });
    this.#flights = new Flights(bus, { log, clock, alone: () => alone() || this.#rests() });
    const { semantic, vectorOf } = options;
    if (semantic)
      this.#semantic = new SemanticLevel({ ...semantic, vectorOf, revisions, entries: this.#entries });
  }

  start(): void {
    this.#entries.start();
  }

  async stop(): Promise<void> {
    this.#flights.stop();
    this.#entries.stop();
  }

  judge(turn: TurnAtHand): Judgement {
    return judge(turn);
  }

  position(): Position {
    const { position, newestAt } = this.#revisions;
    return { revision: position, storedAt: newestAt };
  }

  async lookup(query: CacheQuery, levels: "both" | "response" = "both"): Promise<Hit | undefined> {
    const hit = await this.#lookupLevels(query, levels);
    this.#served[hit?.level ?? "misses"]++;
    return hit;
  }

  async #lookupLevels(query: CacheQuery, levels: "both" | "response"): Promise<Hit | undefined> {
    try {
      const response = await this.#lookupResponse(query);
      if (response) return response;
      return levels === "both" && this.#semantic?.takes(query)
        ? await this.#lookupSemantic(this.#semantic, query)
        : undefined;
    } catch (err) {
      this.#log.warn({ err }, "cache look-up failed");
      return counted("shared", "error");
    }
  }

  async #lookupResponse(query: CacheQuery): Promise<Hit | undefined> {
    const { tenant } = query;
    const id = this.#idOf(query);
    const near = this.#entries.held(tenant, id);
    if (near) {
      if (this.#serves(near, tenant))
        return near.answer
          ? counted("memory", "hit", hitOf(near, near.answer))
          : counted("memory", "uncited");
      this.#letGo(near);
      return counted("memory", "stale");
    }
    if (this.#rests()) return counted("shared", "resting");
    const found = await within(
      this.#entries.fetch(tenant, id).then((entry) => entry ?? "absent"),
      patience(SHARED_MS),
    );
    if (found === undefined) {
      this.#restsUntil = this.#clock.now() + REST_MS;
      return counted("shared", "timeout");
    }
    if (found === "absent") return counted("shared", "miss");
    // Compared after the wait: what counts is what this process knows when it serves.
    if (!this.#serves(found, tenant)) return counted("shared", "stale");
    return found.answer ? counted("shared", "hit", hitOf(found, found.answer)) : counted("shared", "uncited");
  }

  async #lookupSemantic(level: SemanticLevel, query: CacheQuery): Promise<Hit | undefined> {
    const { entry, ...asked } = await level.ask(query);
    this.#asked.set(query, asked);
    const { verdict } = asked;
    if (verdict.kind === "miss" || !entry?.answer)
      return counted("semantic", verdict.kind === "miss" ? verdict.reason : "stale");
    const check = verdict.kind === "check";
    return counted("semantic", check ? "check" : "hit", hitOf(entry, entry.answer, "semantic", check));
  }

  async join(query: CacheQuery, cls: PriorityClass, asker: string): Promise<Flight> {
    return await this.#flights.join(query.tenant, this.#idOf(query), cls, asker);
  }

  async store(query: CacheQuery, answer: CachedAnswer, session: string): Promise<void> {
    try {
      counted("shared", await this.#store(query, answer, originOf(query.tenant, session)));
    } catch (err) {
      this.#log.warn({ err }, "answer not cached");
      counted("shared", "error");
    } finally {
      this.giveUp(query);
    }
  }

  async #store(query: CacheQuery, answer: CachedAnswer, origin: string): Promise<string> {
    const asked = this.#asked.get(query);
    // An answer that cites nothing rests on nothing: no change could ever end it. It only teaches.
    if (answer.citations.length === 0 && !asked) return "uncited";
    const entry = entryOf(this.#idOf(query), query, answer, origin, this.#clock.now());
    const holds = (): boolean =>
      this.#serves(entry, query.tenant) && !this.#entries.isErased(query.tenant, origin);
    if (!holds()) return "outdated";
    const level = this.#semantic;
    if (!asked || !level) return await this.#entries.put(entry, holds);
    const learned = level.learn(asked, entry, entry.documents);
    const outcome = await this.#entries.put(learned, holds);
    if (outcome !== "stored") level.remove(entry);
    return outcome === "stored" && !entry.answer ? "uncited" : outcome;
  }

  giveUp(query: CacheQuery): void {
    this.#flights.land(query.tenant, this.#idOf(query));
  }

  async forget(tenant: string, session: string): Promise<void> {
    const removed = await this.#entries.removeOrigin(tenant, originOf(tenant, session));
    if (removed > 0) metrics.cache({ level: "shared", result: "erased" }, removed);
  }

  async explain(query: CacheQuery): Promise<ExplainedLevels> {
    const id = this.#idOf(query);
    const entry = await within(
      this.#entries.fetch(query.tenant, id).then((found) => found ?? "absent"),
      patience(SHARED_MS),
    ).catch(() => undefined);
    const level = this.#semantic;
    return {
      id,
      response: this.#explainResponse(entry, query.tenant),
      semantic: level?.takes(query) ? await level.explain(query) : null,
    };
  }

  #explainResponse(entry: Entry | "absent" | undefined, tenant: string): ExplainedLevels["response"] {
    if (entry === undefined) return { state: "unknown" };
    if (entry === "absent") return { state: "none" };
    const { question, answer } = entry;
    if (!answer) return { state: "uncited", question };
    return { state: this.#serves(entry, tenant) ? "hit" : "stale", question, reply: answer.reply };
  }

  /** What this process holds and has learned since it started. */
  status(): Omit<CacheHostStatus, "instance"> {
    const checks = this.#semantic?.checks ?? { agreed: 0, differed: 0 };
    const semantic = this.#semantic?.size ?? 0;
    return { entries: this.#entries.size, semantic, served: { ...this.#served }, checks };
  }

  /** While nobody can know what is current nothing is served, and nothing let go. */
  #letGo(entry: Entry): void {
    if (this.#revisions.fresh()) this.#entries.release(entry);
  }

  #serves(entry: Entry, tenant: string): boolean {
    return isCurrent(entry, tenant, this.#revisions);
  }

  #rests(): boolean {
    return this.#clock.now() < this.#restsUntil;
  }

  #idOf(query: CacheQuery): string {
    let id = this.#fingerprints.get(query);
    if (id === undefined) {
      id = fingerprintOf(query);
      this.#fingerprints.set(query, id);
    }
    return id;
  }
}

const hitOf = (
  { id }: Entry,
  answer: CachedAnswer,
  level: Hit["level"] = "response",
  check = false,
): Hit => ({ answer, level, entry: id, check });

function counted<T>(level: "memory" | "shared" | "semantic", result: string, found?: T): T | undefined {
  metrics.cache({ level, result });
  return found;
}
