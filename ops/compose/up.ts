/** Everything in one process: an embedded nats-server or a named one, the pages, the demo knowledge, all roles. */
import type { KnowledgeStore } from "#actors/knowledge/port.ts";
import type { Config } from "#contracts/config.ts";
import { JetclawError } from "#contracts/errors.ts";
import { probe } from "#runtime/nats/server/probe.ts";
import type { Log } from "#runtime/observe/log.ts";
import type { Settings } from "../settings.ts";
import type { RoleContext } from "./context.ts";
import { startEmbeddedNats } from "./embedded.ts";
import { ensurePages } from "./pages.ts";
import { type RunningProcess, runProcess } from "./process.ts";
import { preload, ROLES, type Role } from "./roles.ts";

export interface UpOptions {
  readonly settings: Settings;
  readonly config: Config;
  readonly log: Log;
  readonly say: (line: string) => void;
}

export interface Up extends RunningProcess {
  readonly url: string;
  /** Ends the embedded server and nothing else, for a process whose state is unknown. */
  abandon(): Promise<void>;
}

const PROBE_MS = 500;
const INDEX_LIMIT_MS = 30_000;

/** @throws JetclawError `start.refused` for an address that is taken; what had started is stopped again. */
export async function startUp({ settings, config, log, say }: UpOptions): Promise<Up> {
  // Asked first: nobody wants to wait for a server to start only to learn this.
  await refuseTakenPort(settings);
  const [nats, staticDir] = await Promise.all([
    settings.natsUrl === undefined ? startEmbeddedNats(settings, log, say) : undefined,
    ensurePages(say, log),
    preload(),
  ]);
  const stopNats = async (): Promise<void> => nats?.stop();
  try {
    const running = await runProcess({
      roles: Object.keys(ROLES) as Role[],
      settings,
      config,
      natsUrl: nats?.url ?? (settings.natsUrl as string),
      log,
      say,
      service: "jetclaw",
      staticDir,
      prepare: (context, store) => loadDemo(context, store, say),
      ...(nats ? { natsEnded: nats.ended } : {}),
    });
    return {
      url: running.url as string,
      notReady: running.notReady,
      drainAsked: running.drainAsked,
      async stop() {
        nats?.expectEnd();
        await running.stop();
        await stopNats();
      },
      abandon: stopNats,
    };
  } catch (error) {
    await stopNats();
    throw error;
  }
}

/** Searchable before anybody can ask. */
async function loadDemo(
  { bus, log }: RoleContext,
  store: KnowledgeStore,
  say: (line: string) => void,
): Promise<void> {
  const { loadDemoKnowledge } = await import("../demo/load.ts");
  const { loaded, revision } = await loadDemoKnowledge(store, { bus, log });
  if (loaded === 0) return;
  say(`Loaded ${loaded} documents of the demo shop.`);
  if (!(await store.waitIndexed(revision, INDEX_LIMIT_MS)))
    log.warn("the demo knowledge is stored, but not searchable yet");
}

async function refuseTakenPort({ host, port }: Settings): Promise<void> {
  if (port === 0) return;
  const answer = await probe(host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host, port, PROBE_MS);
  // At an address of another machine nobody may answer: listening there fails, and says so.
  if (answer.kind === "closed" || answer.kind === "lost") return;
  throw new JetclawError(
    "start.refused",
    `port ${port} on ${host} is in use. Stop what listens there, or set JETCLAW_PORT to a free port`,
  );
}
