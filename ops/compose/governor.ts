/** Role `governor`: measures the queues, sets the load level. One is active by lease, the others stand by. */
import { Governor } from "#actors/governor/governor.ts";
import { levelPolicyOf } from "#actors/governor/level.ts";
import { announce } from "#runtime/observe/presence.ts";
import type { RoleContext, RunningRole } from "./context.ts";

export interface GovernorRoleOptions {
  readonly roundMs?: number;
  readonly leaseMs?: number;
}

export async function startGovernor(
  { bus, clock, config, instance, log }: RoleContext,
  options: GovernorRoleOptions = {},
): Promise<RunningRole> {
  const pools = Object.keys(config.pools);
  const governor = new Governor({
    bus,
    clock,
    log,
    instance,
    pools,
    policy: levelPolicyOf(config),
    ...options,
  });
  let draining = false;
  governor.start();
  const presence = announce(
    bus,
    { role: "governor", instance },
    (): Readonly<Record<string, string | number>> =>
      governor.active ? { state: "active", level: governor.level } : { state: "standby" },
    () => draining,
  );
  return {
    role: "governor",
    readiness: () => (draining ? "draining" : undefined),
    async drain() {
      draining = true;
      presence.now();
      await governor.stop();
    },
    async stop() {
      await governor.stop();
      presence.stop();
    },
  };
}
