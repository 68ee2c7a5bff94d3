/** What a gateway knows of the load: the level for its door, the figures for operators, autoscalers and Prometheus. */
import { createLoadAdmin } from "#actors/governor/admin.ts";
import { exportLoad } from "#actors/governor/gauges.ts";
import type { LevelReader, LoadAdmin } from "#actors/governor/port.ts";
import { watchLevel, watchLoad } from "#actors/governor/watch.ts";
import type { RoleContext } from "./context.ts";

export interface FollowedLoad {
  readonly level: LevelReader;
  readonly admin: LoadAdmin;
  stop(): void;
}

export function followLoad({ bus, clock }: Pick<RoleContext, "bus" | "clock">): FollowedLoad {
  const level = watchLevel(bus);
  const load = watchLoad(bus);
  const removeGauges = exportLoad(load, level);
  return {
    level,
    admin: createLoadAdmin(bus, clock, load, level),
    stop() {
      removeGauges();
      load.stop();
      level.stop();
    },
  };
}
