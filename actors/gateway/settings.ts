/** What can be set of a gateway, each with its default, and what it is made of. */

import type { CacheAdmin } from "#actors/cache/port.ts";
import type { Conversations } from "#actors/conversation/port.ts";
import type { LevelReader, LoadAdmin } from "#actors/governor/port.ts";
import type { KnowledgeStore, Retriever } from "#actors/knowledge/port.ts";
import { LIMITS } from "#contracts/limits.ts";
import type { DeadLetters } from "#runtime/actor/dead-letters.ts";
import type { Clock } from "#runtime/clock.ts";
import type { Log } from "#runtime/observe/log.ts";
import type { Completions } from "./openai/port.ts";
import type { ActorMailer, AdminSource, KeyStore, Readiness } from "./port.ts";

export const GATEWAY_DEFAULTS = {
  /** How long `POST .../messages` waits: a turn's deadline and what its closing may take. */
  waitMs: LIMITS.turnDeadlineMs + 5_000,
  /** How long a chat completion may take unless the caller says otherwise, and at most. */
  completionMs: LIMITS.turnDeadlineMs as number,
  completionMostMs: 500_000,
  /** The most for one of the class `deferred`. */
  deferredMostMs: 500_000,
  /** How long a message to an actor waits for a reply unless the caller says otherwise. */
  actorWaitMs: 5_000,
  /** How long `?wait=indexed` waits. */
  indexWaitMs: 15_000,
  /** A repeated message id whose turn says nothing for this long is looked up. */
  repeatCheckMs: 250,
  /** A message that no turn has claimed for this long is looked up. */
  quietCheckMs: 2_000,
  /** A comment on a quiet stream, so that proxies keep it open. */
  heartbeatMs: 15_000,
  /** Bytes one stream may have unread before its client is dropped. */
  streamBufferBytes: 256 * 1_024,
  /** Bytes all streams together may have unread. */
  streamsBufferBytes: 64 * 1_024 * 1_024,
  /** Streams open at once. */
  streams: 10_000,
  /** Requests a second and key. */
  requestsPerSecond: 10_000,
  /** Wrong keys a minute and address before the address is refused. */
  wrongKeysPerMinute: 30,
  /** Unanswered messages a session. */
  unansweredMessages: LIMITS.unansweredMessages as number,
  /** Time for the headers, and for the whole request, to arrive. */
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 30_000,
  /** Sockets open at once; further ones are refused by the kernel's queue. */
  connections: 16_384,
  /** Header lines of one request. */
  headerLines: 100,
  /** Bytes of all header lines of one request. */
  headerBytes: 16_384,
  /** Nesting of a JSON body; what is inside must still fit an envelope. */
  jsonDepth: LIMITS.codecDepth / 2,
  /** How often a watcher of the deployment's status gets it. */
  statusMs: 1_000,
} as const satisfies Record<string, number>;

export type GatewaySettings = { readonly [K in keyof typeof GATEWAY_DEFAULTS]: number };

export interface GatewayDeps {
  readonly conversations: Conversations;
  readonly knowledge: KnowledgeStore;
  /** Without it there is no searching. */
  readonly retriever?: Retriever | undefined;
  readonly keys: KeyStore;
  readonly actors: ActorMailer;
  readonly admin: AdminSource;
  /** The OpenAI-compatible endpoint; without it there are no such routes. */
  readonly completions?: Completions | undefined;
  /** The level in force; without it nobody is refused for load. */
  readonly level?: LevelReader | undefined;
  /** Without it there are no routes about load. */
  readonly load?: LoadAdmin | undefined;
  /** Without it there are no routes about the caches. */
  readonly cache?: CacheAdmin | undefined;
  /** Without it there are no routes about dead letters. */
  readonly dead?: DeadLetters | undefined;
  readonly readiness: () => Readiness;
  readonly clock: Clock;
  readonly log: Log;
  /** The built chat page; without it `GET /` is 404. */
  readonly staticDir?: string | undefined;
  /** Accept the key `demo`. Only ever true when the listening address is loopback. */
  readonly demoKey?: boolean | undefined;
  /** Origins whose pages may call; none when left out. */
  readonly corsOrigins?: readonly string[] | undefined;
  /** Tells when the connection to the store came back: live events may have been lost meanwhile. */
  readonly onReconnect?: ((listener: () => void) => { stop(): void }) | undefined;
  readonly settings?: Partial<GatewaySettings> | undefined;
}

export function settingsOf(deps: GatewayDeps): GatewaySettings {
  return { ...GATEWAY_DEFAULTS, ...deps.settings };
}
