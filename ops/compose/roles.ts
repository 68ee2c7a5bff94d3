/** The roles a process can play, and how each is started. Loaded when it is started, so that no role carries another. */
import type { KnowledgeStore, Retriever } from "#actors/knowledge/port.ts";
import type { ActorKind } from "#runtime/actor/define.ts";
import { STAGE } from "#runtime/lifecycle.ts";
import { enableMetrics } from "#runtime/observe/metrics.ts";
import type { Settings } from "../settings.ts";
import type { RoleContext, RunningRole } from "./context.ts";
import type { Retrieval } from "./retrieval.ts";

/** What a process has of knowledge, composed once for all of its roles. */
export interface Knowledge {
  readonly store: KnowledgeStore;
  readonly search: Retriever;
  /** Retrieval here or elsewhere; only where conversations are held or questions answered. */
  readonly retrieval: Retrieval | undefined;
  stop(): Promise<void>;
}

/** What roles of one process have in common. */
export interface RoleParts extends Omit<Knowledge, "stop"> {
  readonly settings: Settings;
  /** Pools of the worker; all when left out. */
  readonly pools?: readonly string[] | undefined;
  /** Jobs the worker holds at once; what the models allow when left out. */
  readonly slots?: number | undefined;
  /** Share of the partitions that a host takes, relative to others. */
  readonly weight?: number | undefined;
  /** The built pages; without them the gateway serves none. */
  readonly staticDir?: string | undefined;
  /** Why the process does not take work yet; empty when it does. */
  readonly notReady: () => string[];
}

interface RoleEntry {
  readonly about: string;
  readonly stage: number;
  start(context: RoleContext, parts: RoleParts): Promise<RunningRole>;
}

/** Checked for its shape when the configuration was read. */
const kindsOf = ({ config }: RoleContext): ActorKind[] => config.actors as ActorKind[];

export const ROLES = {
  gateway: {
    about: "HTTP: chat page, API, event streams",
    stage: STAGE.gateway,
    async start(context, { settings, store, search, notReady, staticDir }) {
      const { bus, deployment, clock } = context;
      const [{ startGateway }, { ConversationClient }, { ActorMailer }] = await Promise.all([
        import("./gateway.ts"),
        import("#actors/conversation/client.ts"),
        import("#runtime/actor/mailer.ts"),
      ]);
      return startGateway(context, {
        host: settings.host,
        port: settings.port,
        conversations: new ConversationClient(bus, deployment, clock),
        knowledge: store,
        retriever: search,
        actors: new ActorMailer({ bus, deployment, clock, kinds: kindsOf(context) }),
        readiness() {
          const reasons = notReady();
          return { ready: reasons.length === 0, reasons };
        },
        staticDir,
      });
    },
  },
  conversation: {
    about: "hosts conversations and your own actors; scale by starting more",
    stage: STAGE.hosts,
    async start(context, { retrieval, settings, weight }) {
      const [{ startConversationHost }, { languageOf, loadLanguages }] = await Promise.all([
        import("./conversation.ts"),
        import("#actors/knowledge/language.ts"),
      ]);
      loadLanguages();
      const { retriever, cache } = retrieval ?? {};
      const kinds = kindsOf(context);
      const url = context.config.retention?.archive;
      const archive = url === undefined ? undefined : (await import("./archive.ts")).archiveOf(url, settings);
      return startConversationHost(context, { retriever, cache, languageOf, kinds, weight, archive });
    },
  },
  worker: {
    about: "runs inference jobs on models; scale by starting more",
    stage: STAGE.workers,
    async start(context, { pools, slots }) {
      const { startWorker } = await import("./worker.ts");
      return startWorker(context, { pools, slots });
    },
  },
  invalidator: {
    about: "removes cached answers when knowledge changes",
    stage: STAGE.state,
    async start(context) {
      const { startInvalidatorRole } = await import("./invalidator.ts");
      return startInvalidatorRole(context);
    },
  },
  retrieval: {
    about: 'answers the questions of conversation hosts with `retrieval: "remote"`; scale by starting more',
    stage: STAGE.state,
    async start(context, { retrieval }) {
      const { startRetrievalRole } = await import("./retrieval.ts");
      if (!retrieval) throw new Error("retrieval is composed where its role runs");
      return startRetrievalRole(context, retrieval);
    },
  },
  indexer: {
    about: "makes the vectors of documents when knowledge changes",
    stage: STAGE.state,
    async start(context) {
      const { startIndexerRole } = await import("./indexer.ts");
      return startIndexerRole(context);
    },
  },
  governor: {
    about: "measures the queues and sets the load level; one is active, others stand by",
    stage: STAGE.workers,
    async start(context) {
      const { startGovernor } = await import("./governor.ts");
      return startGovernor(context);
    },
  },
} as const satisfies Record<string, RoleEntry>;

/** Loads what the roles are made of ahead of time, while something else is waited for. */
export async function preload(): Promise<void> {
  await Promise.all([
    import("./gateway.ts"),
    import("./conversation.ts"),
    import("./retrieval.ts"),
    import("./worker.ts"),
    import("./invalidator.ts"),
    import("./indexer.ts"),
    import("./governor.ts"),
    enableMetrics(),
  ]);
}

export type Role = keyof typeof ROLES;
export const isRole = (name: string): name is Role => Object.hasOwn(ROLES, name);

/**
 * The documents where questions are answered, their revisions where conversations are held and questions are answered
 * elsewhere, the store alone for a gateway, which searches in the documents of others.
 */
export async function startKnowledge(context: RoleContext, roles: readonly Role[]): Promise<Knowledge> {
  const { bus, clock, config, log } = context;
  const serves = roles.includes("retrieval");
  if (!roles.includes("conversation") && !serves) {
    const [{ createKnowledgeStore }, { remoteSearch }] = await Promise.all([
      import("#actors/knowledge/store.ts"),
      import("#actors/knowledge/ask-retrieval.ts"),
    ]);
    const store = createKnowledgeStore(bus, clock);
    return { store, search: remoteSearch(bus), retrieval: undefined, stop: async () => store.stop() };
  }
  const [{ startRemoteRetrieval, startRetrieval }, { serveRetrieval }] = await Promise.all([
    import("./retrieval.ts"),
    import("#actors/knowledge/retrieval-service.ts"),
  ]);
  const remote = config.retrieval === "remote" && !serves;
  const retrieval = await (remote ? startRemoteRetrieval(context) : startRetrieval(context));
  const { store, search } = retrieval;
  // Gateways search here; the role does so by itself, and stops earlier.
  const service = remote || serves ? undefined : serveRetrieval(bus, retrieval.retriever, log);
  return {
    store,
    search,
    retrieval,
    async stop() {
      await service?.stop();
      await retrieval.stop();
    },
  };
}
