/** The caches of a process that answers questions, from the configuration. */
import { serveCacheStatus } from "#actors/cache/admin.ts";
import { LeveledCache } from "#actors/cache/answer-cache.ts";
import type { CurrentRevisions } from "#actors/cache/entry.ts";
import type { VectorOf } from "#actors/cache/semantic-level.ts";
import type { Config } from "#contracts/config.ts";
import { LIMITS } from "#contracts/limits.ts";
import { Presence } from "#runtime/observe/presence.ts";
import type { RoleContext } from "./context.ts";

/** Listening for so long hears every live host at least once. */
const LISTEN_MS = 2 * LIMITS.heartbeatMs;

export interface RunningCache {
  readonly cache: LeveledCache;
  stop(): Promise<void>;
}

/** `vectorOf` absent: the semantic level compares words alone. */
export function startCache(
  { bus, log, clock, config, instance }: RoleContext,
  revisions: CurrentRevisions,
  vectorOf?: VectorOf,
): RunningCache {
  const hosts = new Presence(bus, "conversation");
  const listenedAt = clock.now() + LISTEN_MS;
  const cache = new LeveledCache(bus, {
    revisions,
    log,
    clock,
    vectorOf,
    memoryBytes: config.cache?.memoryMb === undefined ? undefined : config.cache.memoryMb * 1024 * 1024,
    answersMs: config.deferredDeadlineMs,
    semantic: config.cache?.semantic === false ? undefined : semanticOf(config),
    alone: () => clock.now() > listenedAt && hosts.live().length === 1,
  });
  cache.start();
  const served = serveCacheStatus(bus, () => ({ instance, ...cache.status() }));
  return {
    cache,
    async stop() {
      served.stop();
      hosts.stop();
      await cache.stop();
    },
  };
}

function semanticOf({ assistants, cache, embeddings }: Config) {
  return {
    space: embeddings?.model,
    errorBound: cache?.errorBound,
    checkShare: cache?.checkShare,
    slotsOf: (assistant: string) => {
      const settings = assistants[assistant]?.cache;
      return settings?.semantic === false ? undefined : (settings?.slots ?? []);
    },
  };
}
