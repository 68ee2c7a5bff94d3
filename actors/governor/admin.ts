/** The operator's side: which level and why, what it was before, and holding it by hand. */
import { decode, encode } from "#contracts/codec.ts";
import { JetclawError } from "#contracts/errors.ts";
import type { Level } from "#contracts/level.ts";
import {
  LEVEL_HISTORY_KEY,
  LEVEL_KEY,
  LEVEL_OVERRIDE_KEY,
  type LevelOverride,
  type LevelRecord,
} from "#contracts/load.ts";
import { BUCKETS } from "#contracts/subjects.ts";
import type { Clock } from "#runtime/clock.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { Kv } from "#runtime/nats/kv.ts";
import { scaleValue } from "./drain.ts";
import type { DrainReport, LevelStatus, LoadAdmin } from "./port.ts";
import type { LevelWatch, LoadWatch } from "./watch.ts";

interface Stored<T> {
  readonly value: T | undefined;
  readonly revision: number;
}

/** @param level where a governor's silence is known of: it ends what the governor last set */
export function createLoadAdmin(
  bus: Bus,
  clock: Clock,
  load?: LoadWatch,
  level?: Pick<LevelWatch, "lapsed">,
): LoadAdmin {
  const kv = new Kv(bus, BUCKETS.config);
  const read = async <T>(key: string): Promise<Stored<T>> => {
    const { value, revision } = await kv.getFromLeader(key);
    return { value: value ? decode<T>(value) : undefined, revision };
  };
  return {
    async status(): Promise<LevelStatus> {
      const [record, asked, history] = await Promise.all([
        read<LevelRecord>(LEVEL_KEY),
        read<LevelOverride>(LEVEL_OVERRIDE_KEY),
        read<LevelRecord[]>(LEVEL_HISTORY_KEY),
      ]);
      const { value } = asked;
      const held = value && value.level !== null ? { ...value, level: value.level } : undefined;
      return {
        ...(held ? { ...held, manual: true } : governed(record, asked, level?.lapsed() ?? false)),
        override: held ?? null,
        history: (history.value ?? []).toReversed(),
      };
    },
    async override(level: Level | null, reason: string, by: string): Promise<LevelOverride> {
      const asked: LevelOverride = { level, reason, by, at: clock.now() };
      await kv.put(LEVEL_OVERRIDE_KEY, encode(asked));
      return asked;
    },
    drain(pool: string): DrainReport {
      const report = load?.report();
      if (!report) throw new JetclawError("load.unknown", "no governor was heard lately");
      const classes = report.drains.filter((drain) => drain.pool === pool);
      if (classes.length === 0) {
        const pools = [...new Set(report.drains.map((drain) => drain.pool))];
        throw new JetclawError("pool.not-found", `the governor measures ${pools.join(", ")}`);
      }
      return {
        pool,
        value: scaleValue(classes),
        waiting: classes.reduce((sum, { waiting }) => sum + waiting, 0),
        inFlight: classes.reduce((sum, { inFlight }) => sum + inFlight, 0),
        at: report.at,
        classes,
      };
    },
  };
}

const NEVER: LevelRecord = { level: 0, reason: "", at: 0, by: "", manual: false };

/** What counts while nobody holds the level, as everybody who acts on it sees it. */
function governed(
  { value: record = NEVER, revision }: Stored<LevelRecord>,
  asked: Stored<LevelOverride>,
  lapsed: boolean,
): LevelRecord {
  // Released, and no governor has decided since.
  if (record.manual && asked.value && asked.revision > revision)
    return { ...asked.value, level: 0, manual: false };
  if (!lapsed || record.manual || record.level === 0) return { ...record, manual: false };
  return {
    ...record,
    level: 0,
    reason: `no governor is heard, so level ${record.level} counts no more: start one`,
  };
}
