/**
 * A stateless request as one durable job without an actor. One subscription a gateway hears of all of them, so nothing
 * has to be subscribed before a request is published.
 */
import type { LevelReader } from "#actors/governor/port.ts";
import type { Router } from "#actors/routing/port.ts";
import type { ReplyEvent } from "#contracts/chat.ts";
import { decodeUntrusted, encode } from "#contracts/codec.ts";
import type { Config } from "#contracts/config.ts";
import { JetclawError } from "#contracts/errors.ts";
import { fairLane } from "#contracts/fair-share.ts";
import { JOB_VERSION, type Job } from "#contracts/job.ts";
import { CORE, inferSessionFilter, inferStream, inferSubject, type Lane } from "#contracts/subjects.ts";
import type { Clock } from "#runtime/clock.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { purge } from "#runtime/nats/reader.ts";
import type { Log } from "#runtime/observe/log.ts";
import { metrics } from "#runtime/observe/metrics.ts";
import { OpenAiRefusal } from "./errors.ts";
import type { CompletionAsk, Completions, ModelEntry, RunningCompletion } from "./port.ts";

/** Any turn: these jobs have one step and no history. */
const TURN = 1;
/** Load level from which new requests are refused. */
const REFUSING_LEVEL = 2;
const REFUSED_SECONDS = 5;

export interface CompletionParts {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly config: Pick<Config, "pools" | "tenantShare">;
  readonly router: Router;
  /** Name of this gateway; part of the subject it listens on. */
  readonly instance: string;
  /** Level 0 when left out. */
  readonly level?: LevelReader | undefined;
}

export class JobCompletions implements Completions {
  readonly models: readonly ModelEntry[];
  readonly #parts: CompletionParts;
  readonly #names: ReadonlySet<string>;
  readonly #waiting = new Map<string, (event: ReplyEvent) => void>();
  readonly #open = new Map<string, number>();
  readonly #subscription: { stop(): void };

  constructor(parts: CompletionParts) {
    this.#parts = parts;
    this.models = modelsOf(parts.config);
    this.#names = new Set(this.models.map(({ id }) => id));
    const filter = CORE.replyAll(parts.instance);
    this.#subscription = parts.bus.subscribe(filter, ({ subject, data }) => {
      const hear = this.#waiting.get(subject.slice(filter.length - 1));
      if (hear) hear(decodeUntrusted<ReplyEvent>(data));
    });
  }

  begin(ask: CompletionAsk, onEvent: (event: ReplyEvent) => void): RunningCompletion {
    const { bus, clock } = this.#parts;
    const job = this.#jobOf(ask, clock.id());
    const release = this.#enter(ask.tenant);
    this.#waiting.set(job.id, onEvent);
    const close = (): void => {
      if (this.#waiting.delete(job.id)) release();
    };
    const stored = bus.append(inferSubject(job), encode(job), { id: job.id, hurried: true }).then(() => {});
    return {
      id: job.id,
      stored,
      close,
      cancel: async () => {
        close();
        // A purge that overtakes the job would leave it to run for nobody.
        await stored.catch(() => {});
        await this.#cancel(job);
      },
    };
  }

  #jobOf(ask: CompletionAsk, id: string): Job {
    const { clock, router, instance, level } = this.#parts;
    if (!this.#names.has(ask.model)) throw unknownModel(ask.model, this.models);
    if (ask.cls === "new" && (level?.level() ?? 0) >= REFUSING_LEVEL) {
      metrics.refusals({ reason: "load.refused" });
      throw new JetclawError("load.refused", undefined, { retryAfterSeconds: REFUSED_SECONDS });
    }
    const route = router.route({
      tenant: ask.tenant,
      assistant: "",
      policy: ask.model,
      question: ask.question,
      locale: "",
      channel: "openai",
      cls: ask.cls,
    });
    return {
      v: JOB_VERSION,
      id,
      tenant: ask.tenant,
      // Its own session: a purge by subject removes this job and no other.
      session: id,
      turn: TURN,
      step: 0,
      pool: route.pool,
      model: route.model ?? null,
      cls: ask.cls,
      lane: this.#laneOf(ask.tenant),
      at: clock.now(),
      deadline: ask.deadline,
      messages: ask.messages,
      question: ask.question,
      locale: "",
      passages: [],
      maxOutputTokens: ask.maxOutputTokens ?? null,
      temperature: ask.temperature ?? null,
      stream: ask.stream,
      trace: ask.trace ?? null,
      replyTo: CORE.reply(instance, id),
      chat: ask.chat,
    };
  }

  #laneOf(tenant: string): Lane {
    const backlog = {
      own: this.#open.get(tenant) ?? 0,
      all: this.#waiting.size,
      tenants: this.#open.size,
    };
    return fairLane(backlog, this.#parts.config.tenantShare);
  }

  #enter(tenant: string): () => void {
    this.#open.set(tenant, (this.#open.get(tenant) ?? 0) + 1);
    return () => {
      const left = (this.#open.get(tenant) ?? 1) - 1;
      if (left > 0) this.#open.set(tenant, left);
      else this.#open.delete(tenant);
    };
  }

  /** Said before and after the purge: a worker that took the job in between hears one of the two. */
  async #cancel({ pool, tenant, session, turn, id }: Job): Promise<void> {
    const { bus, log } = this.#parts;
    const stop = (): void => bus.publish(CORE.control(tenant, session), encode({ turn }));
    try {
      stop();
      await purge(bus, inferStream(pool), inferSessionFilter(pool, tenant, session));
      stop();
    } catch (err) {
      log.debug({ err, job: id }, "a cancelled job may run to its end");
    }
  }

  close(): void {
    this.#subscription.stop();
  }
}

function modelsOf({ pools }: Pick<Config, "pools">): ModelEntry[] {
  const entries = new Map<string, ModelEntry>([["auto", { id: "auto", ownedBy: "jetclaw" }]]);
  for (const [pool, { models }] of Object.entries(pools)) {
    entries.set(pool, { id: pool, ownedBy: "jetclaw" });
    for (const { name, provider } of models)
      if (!entries.has(name)) entries.set(name, { id: name, ownedBy: provider });
  }
  return [...entries.values()];
}

/** Names shown of a long list. */
const SHOWN = 10;

export function unknownModel(model: string, models: readonly ModelEntry[]): OpenAiRefusal {
  const list = models.slice(0, SHOWN).map(({ id }) => id);
  const more = models.length > SHOWN ? ", ..." : "";
  return new OpenAiRefusal(
    `The model '${model.replace(/[^\x20-\x7e]/g, "?").slice(0, 64)}' does not exist. There are ${list.join(", ")}${more}; GET /v1/models lists them all.`,
    { param: "model", code: "model_not_found", status: 404 },
  );
}
