/** What every role is composed from: the connection, the deployment, the configuration, the log. */
import type { Config } from "#contracts/config.ts";
import type { Clock } from "#runtime/clock.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import type { Deployment } from "#runtime/nats/topology.ts";
import type { Log } from "#runtime/observe/log.ts";

export interface RoleContext {
  readonly bus: Bus;
  readonly deployment: Deployment;
  /** Validated, with secrets resolved and zero-configuration pools filled in. */
  readonly config: Config;
  readonly log: Log;
  readonly clock: Clock;
  /** Unique id of this process. */
  readonly instance: string;
}

/** A role that runs. `drain` stops taking and finishes what is held; `stop` closes. */
export interface RunningRole {
  readonly role: string;
  /** Empty when the role takes work; else why not. */
  readiness(): string | undefined;
  drain(): Promise<void>;
  stop(): Promise<void>;
}
