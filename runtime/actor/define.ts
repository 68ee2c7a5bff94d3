/**
 * `defineActor`: a kind, a state schema with a version and upgrades, message schemas and handlers.
 * A handler changes the draft of the state and records effects; it may await reads and writes nothing itself.
 */
import type { z } from "zod";
import type { Envelope, TraceContext } from "#contracts/envelope.ts";
import { JetclawError } from "#contracts/errors.ts";
import { isId } from "#contracts/ids.ts";
import type { ActorAddress } from "#contracts/subjects.ts";
import { unstorable } from "./storable.ts";

/** What a handler sees of its actor. Effects are recorded, committed with the state, and published afterwards. */
export interface Actor<State> {
  readonly kind: string;
  readonly tenant: string;
  readonly key: string;
  /** A draft: change it or replace it. Nothing of it is kept when the handler throws. */
  state: State;
  /** Ms since the epoch, the same during one run of the handler. */
  readonly now: number;
  /** Sends a message to an actor of the same tenant, at least once under a stable id. */
  send(kind: string, key: string, type: string, body: unknown): void;
  /** Sends `type` to this actor later, once; at once where that is past. A timer of the same name is replaced. */
  schedule(
    timer: string,
    when: { readonly afterMs: number } | { readonly at: number },
    type: string,
    body: unknown,
  ): void;
  /** Cancels a timer; harmless when there is none. */
  cancel(timer: string): void;
  /** Answers whoever waits for this message; nobody waiting is no error. */
  reply(value: unknown): void;
}

/** What the product's own kinds may do besides. */
export interface SystemActor<State> extends Actor<State> {
  /** Ids of the last processed messages, oldest first; without those being handled. */
  rememberedIds(): readonly string[];
  /** After the commit only the ids of the messages being handled are remembered, and so many of the last before them. */
  forgetIds(keep?: number): void;
  isScheduled(timer: string): boolean;
  /** Says which message of a burst is being handled: replies go to its caller. */
  handling(message: Envelope): void;
  /** Context for everything this run causes. */
  readonly trace: TraceContext | undefined;
  /** Aborted when this host loses the actor: stop reading, nothing will be committed. */
  readonly signal: AbortSignal;
  /**
   * Appends to a stream after the commit, at least once; the id given to `body` is stable. `onStored` hears the place in
   * the stream, unless this host loses the actor before. @returns the id
   */
  append(subject: string, body: (id: string) => unknown, onStored?: (seq: number) => void): string;
  /** A core publish after the commit, at most once an attempt. */
  emit(subject: string, body: unknown): void;
  /** Removes messages after the commit. */
  purge(stream: string, filter: string): void;
  /**
   * After the commit nothing is remembered of what came up to the message being handled: ids, timers, attempts. Whatever
   * of it comes again is dropped. The state is the handler's to clear.
   */
  forget(): void;
  /** Best effort after the commit: not stored, not repeated. */
  afterCommit(task: () => void): void;
}

type Messages = Readonly<Record<string, z.ZodType>>;

export interface ActorOptions<State, M extends Messages> {
  /** Names the kind in subjects and routes. */
  readonly kind: string;
  /** Version of the state's schema; a state of a newer version is left alone with a clear error. */
  readonly version: number;
  readonly state: z.ZodType<State>;
  readonly messages: M;
  readonly initial: () => State;
  /** What `GET /v1/actors/{kind}/{key}` shows; the whole state when left out. */
  readonly view?: (state: State) => unknown;
  /** From version n to n + 1, keyed by n. */
  readonly upgrades?: Readonly<Record<number, (state: unknown) => unknown>>;
  readonly on: {
    readonly [K in keyof M]: (actor: Actor<State>, body: z.output<M[K]>) => void | Promise<void>;
  };
}

/**
 * What an activation would have to gather from streams is kept beside the record when the actor rests. It is a copy: it
 * may be missing, or older than the record.
 */
export interface Keeping {
  /** True where a state that nobody works on leaves something in streams. */
  isDue(state: unknown): boolean;
  /** `ttlMs`: after which nothing of it may be kept any more; absent: none. */
  take(state: unknown, actor: ActorAddress, now: number): { data: unknown; ttlMs?: number | undefined };
}

/** A kind as the runtime runs it: types erased, dispatch decided. */
export interface ActorKind {
  readonly kind: string;
  readonly version: number;
  /** True: a handler gets all that waits, up to `LIMITS.burstMessages`. */
  readonly burst: boolean;
  /** True: the handler replaces the state and never changes it in place, so no draft copy is needed. */
  readonly persistent: boolean;
  /** False for messages whose repeats the handler itself drops: their ids need no place among the processed ones. */
  remembers(type: string): boolean;
  initial(): unknown;
  /** What is stored for a state, where that is not the state itself. */
  store?(state: unknown): unknown;
  /**
   * The state of what was stored, in this version: reads what the state leaves in streams. Called once an activation,
   * when all that was committed before is published. `kept` reads what was kept of it. @throws JetclawError `nats.unavailable`
   */
  recall?(stored: unknown, actor: ActorAddress, kept: () => Promise<unknown>): Promise<unknown>;
  /** Absent: an activation has nothing to gather. */
  readonly keeping?: Keeping;
  view(state: unknown): unknown;
  /** How long the record of such a state is kept; undefined: until it is written over. */
  lifetimeMs?(state: unknown, now: number): number | undefined;
  /** Brings a stored state to this version. @throws JetclawError `actor.state-newer` */
  upgrade(state: unknown, from: number): unknown;
  /** Parses a body. @throws JetclawError `request.invalid`, `actor.message-unknown` */
  parse(type: string, body: unknown): unknown;
  run(actor: SystemActor<unknown>, burst: readonly Envelope[]): void | Promise<void>;
  /** A message came again that was processed: may `reply` or `emit`; changes of state are dropped. */
  repeated?(actor: SystemActor<unknown>, message: Envelope): void;
  /** A message became a dead letter: what the user is told. Its changes are committed. */
  poisoned?(actor: SystemActor<unknown>, message: Envelope, reference: string): void;
}

/**
 * Defines an actor.
 * @throws JetclawError `config.invalid` for a kind that is not an id, or upgrades that leave a gap
 */
export function defineActor<State, const M extends Messages>(options: ActorOptions<State, M>): ActorKind {
  const { kind, version, upgrades = {} } = options;
  if (!isId(kind))
    throw new JetclawError("config.invalid", `an actor's kind is an id, not ${JSON.stringify(kind)}`);
  if (!Number.isInteger(version) || version < 1)
    throw new JetclawError("config.invalid", `actor ${kind}: version is a whole number from 1`);
  return {
    kind,
    version,
    burst: false,
    persistent: false,
    remembers: () => true,
    initial: () => options.initial(),
    view: (state) => (options.view ? options.view(state as State) : state),
    upgrade: (state, from) => options.state.parse(applyUpgrades(kind, version, upgrades, state, from)),
    parse: (type, body) => parseMessage(kind, options.messages, type, body),
    async run(actor, burst) {
      for (const message of burst) {
        actor.handling(message);
        const handler = options.on[message.type];
        if (!handler)
          throw new JetclawError("actor.message-unknown", `${kind} has no handler for ${message.type}`);
        await handler(actor as Actor<State>, message.body as z.output<M[string]>);
        const checked = options.state.safeParse(actor.state);
        const wrong = checked.success ? unstorable(checked.data) : issuesOf(checked.error, "state");
        if (wrong)
          throw new Error(`handler ${kind}.${message.type} left a state that cannot be kept: ${wrong}`);
        actor.state = checked.data;
      }
    },
  };
}

/** Runs the upgrades from a stored version to the current one. */
export function applyUpgrades(
  kind: string,
  version: number,
  upgrades: Readonly<Record<number, (state: unknown) => unknown>>,
  state: unknown,
  from: number,
): unknown {
  if (from > version)
    throw new JetclawError(
      "actor.state-newer",
      `${kind} is stored in version ${from}, this code knows ${version}`,
    );
  let current = state;
  for (let v = from; v < version; v++) {
    const upgrade = upgrades[v];
    if (!upgrade) throw new JetclawError("config.invalid", `actor ${kind}: no upgrade from version ${v}`);
    current = upgrade(current);
  }
  return current;
}

/** @throws JetclawError `request.invalid` naming the fields, `actor.message-unknown` */
export function parseMessage(kind: string, messages: Messages, type: string, body: unknown): unknown {
  const schema = Object.hasOwn(messages, type) ? messages[type] : undefined;
  if (!schema)
    throw new JetclawError("actor.message-unknown", `${kind} knows ${Object.keys(messages).join(", ")}`);
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  throw new JetclawError("request.invalid", issuesOf(parsed.error, "body"));
}

const issuesOf = ({ issues }: z.ZodError, whole: string): string =>
  issues
    .slice(0, 5)
    .map(({ path, message }) => `${path.join(".") || whole}: ${message}`)
    .join("; ");
