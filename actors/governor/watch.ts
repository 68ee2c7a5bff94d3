/** Readers of what the governor says: the level for those who act on it, the drain times for those who show them. */
import { decode } from "#contracts/codec.ts";
import type { Level } from "#contracts/level.ts";
import {
  LEVEL_KEY,
  LEVEL_OVERRIDE_KEY,
  type LevelOverride,
  type LevelRecord,
  type LoadReport,
} from "#contracts/load.ts";
import { BUCKETS, CORE } from "#contracts/subjects.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { Kv, type KvEntry } from "#runtime/nats/kv.ts";
import type { LevelReader } from "./port.ts";

/** Watches skip and go silent: both keys are read again this often. */
const REREAD_MS = 2_000;
/** Without any governor heard for this long nobody would ever lower a level again, so it does not count any more. */
const LAPSE_MS = 30_000;

export interface LevelWatch extends LevelReader {
  /** No governor was heard for so long that its level does not count any more; one that is held by hand does. */
  lapsed(): boolean;
  /** Resolves after the first reading, or its failure; until then the level is 0. */
  readonly ready: Promise<void>;
  stop(): void;
}

export function watchLevel(bus: Bus): LevelWatch {
  const kv = new Kv(bus, BUCKETS.config);
  let stopped = false;
  let record: { value: LevelRecord | undefined; revision: number } = { value: undefined, revision: 0 };
  let override: { value: LevelOverride | undefined; revision: number } = { value: undefined, revision: 0 };
  let heardAt = Date.now();
  let watch: { stop(): void } | undefined;
  // A replica that lags must not bring an older level back.
  const adopt = ({ value, revision }: KvEntry): void => {
    if (revision < record.revision) return;
    record = { value: value ? decode<LevelRecord>(value) : undefined, revision };
  };
  const read = async (): Promise<void> => {
    try {
      const [level, held] = await Promise.all([kv.get(LEVEL_KEY), kv.get(LEVEL_OVERRIDE_KEY)]);
      adopt(level);
      if (held.revision >= override.revision)
        override = {
          value: held.value ? decode<LevelOverride>(held.value) : undefined,
          revision: held.revision,
        };
    } catch (err) {
      bus.log.debug({ err }, "load level not read, the last one stands");
    }
  };
  const beats = bus.subscribe(CORE.roleHeartbeat("governor"), () => {
    heardAt = Date.now();
  });
  const lapsed = (): boolean => Date.now() - heardAt > LAPSE_MS;
  const timer = setInterval(() => void read(), REREAD_MS);
  const reconnected = bus.onReconnect(() => void read());
  kv.watch(LEVEL_KEY, adopt).then(
    (started) => {
      watch = started;
      if (stopped) started.stop();
    },
    (err) => {
      if (!stopped) bus.log.warn({ err }, "load level not watched, it is read from time to time");
    },
  );
  return {
    ready: read(),
    level(): Level {
      const { value: current } = record;
      const held = override.value?.level;
      // Both keys are of one stream: a record of the governor's own that came later says that it was let go.
      const released = current !== undefined && !current.manual && record.revision > override.revision;
      if (held !== null && held !== undefined && !released) return held;
      if (!current) return 0;
      // Between an operator's letting go and the governor's next round the record still names the held level.
      if (current.manual) return held === null && override.revision > record.revision ? 0 : current.level;
      return lapsed() ? 0 : current.level;
    },
    lapsed,
    stop() {
      stopped = true;
      clearInterval(timer);
      beats.stop();
      reconnected.stop();
      watch?.stop();
    },
  };
}

export interface LoadWatch {
  /** The last report of an active governor; undefined when none was heard lately. */
  report(): LoadReport | undefined;
  stop(): void;
}

/** Reports come every half second; one that is older than this says nothing about now. */
const REPORT_MS = 5_000;

export function watchLoad(bus: Bus): LoadWatch {
  let last: { report: LoadReport; at: number } | undefined;
  const heard = bus.subscribe(CORE.load, ({ data }) => {
    last = { report: decode<LoadReport>(data), at: Date.now() };
  });
  return {
    report: () => (last && Date.now() - last.at < REPORT_MS ? last.report : undefined),
    stop: () => heard.stop(),
  };
}
