// What the harness and a member process say to each other over Node's IPC channel.
import type { PoolConfig } from "#contracts/config.ts";
import type { Unsafe } from "#runtime/actor/host.ts";
import type { KillPoint } from "#runtime/observe/kill-point.ts";
import type { TallyBuild } from "./tally.ts";

export type MemberRole = "conversation" | "worker" | "invalidator" | "indexer" | "gateway";

export interface Embeddings {
  readonly baseUrl: string;
  readonly model: string;
}

export interface MemberConfig {
  readonly role: MemberRole;
  readonly instance: string;
  readonly url: string;
  readonly shards: number;
  readonly replicas: 1 | 3;
  readonly pools: Readonly<Record<string, PoolConfig>>;
  /** Of the model that makes vectors; without it an indexer has nothing to do. */
  readonly embeddings?: Embeddings | undefined;
  /** Where a gateway listens. */
  readonly port?: number | undefined;
  /** Protections that a control run switches off, to prove that their absence is noticed. */
  readonly unsafe?: Unsafe | undefined;
  readonly residency?: number | undefined;
  /** A host whose view of the placement does not change any more. */
  readonly frozenView?: boolean | undefined;
  /** A host also runs tallies, as this build of them. */
  readonly build?: TallyBuild | undefined;
  /** Armed before the role starts, so that also a takeover at the start can be hit. */
  readonly arm?: Arm | undefined;
}

/** What happens when a member passes a step for the `nth` time from now. */
export interface Arm {
  readonly point: KillPoint;
  readonly nth: number;
  /** `die`: SIGKILL to itself. `freeze`: SIGSTOP to itself. `wait`: that one step stays until `resume`. */
  readonly action: "die" | "freeze" | "wait";
}

export type Order =
  | { readonly do: "start"; readonly config: MemberConfig }
  | { readonly do: "arm"; readonly arm: Arm | undefined }
  | { readonly do: "resume" };

export type Report =
  /** The modules are loaded; nothing is connected. */
  | { readonly is: "loaded" }
  | { readonly is: "ready" }
  /** Whether it takes work, when that changes: undefined, or why not. */
  | { readonly is: "readiness"; readonly unready: string | undefined }
  | { readonly is: "failed"; readonly error: string }
  /** The armed step was reached; said before a freeze or a wait, never before a death. */
  | { readonly is: "at"; readonly point: KillPoint };
