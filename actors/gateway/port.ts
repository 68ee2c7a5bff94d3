/** What the gateway asks of others, and the shapes that the command line and the console share with it. */

import type { ActorMailer as RuntimeMailer } from "#runtime/actor/mailer.ts";
import type { Beat } from "#runtime/observe/presence.ts";

/** Messages to actors of the user's own, and what those show of their state. */
export type ActorMailer = Pick<RuntimeMailer, "send" | "view">;

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
  /** Whether the key is known to be accepted, without a look-up. */
  holds(key: string): boolean;
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
