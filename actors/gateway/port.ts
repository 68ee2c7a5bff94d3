/** What the gateway asks of others, and the shapes that the command line and the console share with it. */

import type { TraceContext } from "#contracts/envelope.ts";
import type { Beat } from "#runtime/observe/presence.ts";

/** A message to an actor of the user's own. */
export interface ActorMessage {
  readonly tenant: string;
  readonly kind: string;
  readonly key: string;
  readonly type: string;
  readonly body: unknown;
  /** Idempotency key: the client's own, or a fresh one. */
  readonly id: string;
  /** How long the caller waits for the handler's reply; 0: not at all. */
  readonly waitMs: number;
  readonly trace?: TraceContext | undefined;
}

/** `replied` is false when the message is stored and nothing came back: no wait, no reply, or not in time. */
export type ActorReply = { readonly replied: true; readonly reply: unknown } | { readonly replied: false };

export interface ActorMailer {
  /**
   * Publishes a message durably, then waits for the reply of its handler; resolves as soon as the message is known
   * to be processed without one.
   * @throws JetclawError `actor.kind-unknown`, `actor.message-unknown`, `request.invalid`, `nats.unavailable`
   */
  send(message: ActorMessage): Promise<ActorReply>;
  /**
   * `view(state)` of the kind; undefined when the actor has no state yet.
   * @throws JetclawError `actor.kind-unknown`, `nats.unavailable`
   */
  view(kind: string, tenant: string, key: string): Promise<{ readonly value: unknown } | undefined>;
}

export const SCOPES = ["chat", "knowledge", "actors", "admin"] as const;
/** What a key may do. `admin` is the operator's and reaches over tenants. */
export type Scope = (typeof SCOPES)[number];

/** Who calls, as a key says it. */
export interface Identity {
  /** Id of the key, safe to show. */
  readonly id: string;
  readonly tenant: string;
  readonly scopes: readonly Scope[];
}

export interface KeyInfo extends Identity {
  readonly label: string;
  /** Ms since the epoch. */
  readonly createdAt: number;
  readonly revokedAt?: number | undefined;
}

export interface KeyStore {
  /** Undefined for a key that is malformed, unknown or revoked. @throws JetclawError `nats.unavailable` */
  resolve(key: string): Promise<Identity | undefined>;
  /** The key itself is returned this once and kept nowhere. */
  create(
    tenant: string,
    options?: { scopes?: readonly Scope[]; label?: string },
  ): Promise<KeyInfo & { readonly key: string }>;
  /** False when there is no such key. */
  revoke(id: string): Promise<boolean>;
  list(tenant?: string): Promise<KeyInfo[]>;
  /** Whether any key would be accepted. */
  hasKeys(): boolean;
}

export interface StreamDepth {
  readonly name: string;
  readonly messages: number;
  readonly bytes: number;
  readonly consumers: number;
}

export interface HostPartitions {
  readonly host: string;
  readonly partitions: readonly number[];
  /** Those of them that it is handing over. */
  readonly leaving: readonly number[];
}

export interface PlacementSummary {
  /** Revision of the placement document. */
  readonly revision: number;
  readonly hosts: readonly HostPartitions[];
  /** Partitions that nobody owns. */
  readonly unowned: readonly number[];
  /** Of each partition: grows with every change of its owner. */
  readonly epochs: readonly number[];
}

/** Everything `status` shows, read at one moment. */
export interface AdminStatus {
  /** Ms since the epoch. */
  readonly at: number;
  /** What runs, as it said lately. */
  readonly roles: readonly Beat[];
  readonly streams: readonly StreamDepth[];
  /** Undefined before a host wrote the first placement document. */
  readonly placement?: PlacementSummary | undefined;
}

export interface AdminSource {
  /** @throws JetclawError `nats.unavailable` */
  status(): Promise<AdminStatus>;
}

export interface Readiness {
  readonly ready: boolean;
  /** Why not, a sentence each. */
  readonly reasons: readonly string[];
}
