/**
 * The gateway as a fastify application: what every request passes, in order, and the routes.
 * Limits of the transport, span and counters, key and rate, schema, route; every failure leaves as a problem.
 */
import cors from "@fastify/cors";
import helmet from "@fastify/helmet";
import { type FastifyInstance, fastify } from "fastify";
import { validatorCompiler, type ZodTypeProvider } from "fastify-type-provider-zod";
import { JetclawError } from "#contracts/errors.ts";
import { LIMITS } from "#contracts/limits.ts";
import { authenticate } from "./auth.ts";
import { observeRequests } from "./observe.ts";
import { describeRoutes } from "./openapi.ts";
import { PAGE_POLICY, servePage } from "./page.ts";
import type { App, GatewayParts } from "./parts.ts";
import { refuseBy, sendProblem } from "./problems.ts";
import { actorRoutes } from "./routes/actors.ts";
import { adminRoutes } from "./routes/admin.ts";
import { cacheRoutes } from "./routes/cache.ts";
import { conversationRoutes } from "./routes/conversations.ts";
import { deadRoutes } from "./routes/dead.ts";
import { eventRoutes } from "./routes/events.ts";
import { healthRoutes } from "./routes/health.ts";
import { knowledgeRoutes } from "./routes/knowledge.ts";
import { knowledgeEventRoutes } from "./routes/knowledge-events.ts";
import { loadRoutes } from "./routes/load.ts";
import { messageRoutes } from "./routes/messages.ts";
import { openAiRoutes } from "./routes/openai.ts";
import { sessionRoutes } from "./routes/sessions.ts";
import { SessionHub } from "./session-hub.ts";
import { type GatewayDeps, type GatewaySettings, settingsOf } from "./settings.ts";
import { SseStreams } from "./sse.ts";
import { Throttle } from "./throttle.ts";
import { guardTransport, serverOptions } from "./transport.ts";

declare module "fastify" {
  interface FastifyInstance {
    /** Ends the streams with the request to come back; waits of JSON callers go on. */
    drainStreams(): void;
    /** Ends those waits: the callers are told where their turns go on. */
    endWaits(): void;
  }
}

/** Nothing is listening yet: `listen` or `inject` begin. `close` ends streams and subscriptions. */
export function createGateway(deps: GatewayDeps): FastifyInstance {
  const settings = settingsOf(deps);
  const app = fastify({ ...serverOptions(settings), logger: false });
  const streams = new SseStreams(settings, deps.log);
  const hub = new SessionHub({
    conversations: deps.conversations,
    clock: deps.clock,
    unansweredMessages: settings.unansweredMessages,
    forgetMs: settings.waitMs + LIMITS.turnDeadlineMs,
  });
  const parts: GatewayParts = { deps, settings, hub, streams, waits: new Set() };

  app.setValidatorCompiler(validatorCompiler);
  // Response schemas describe; checking our own answers again would only cost.
  app.setSerializerCompiler(() => JSON.stringify);
  guardTransport(app, settings);
  observeRequests(app, deps.log);
  refuseBy(app, deps.log, sendProblem);
  app.setNotFoundHandler((request, reply) =>
    sendProblem(request, reply, new JetclawError("route.not-found")),
  );
  app.decorateRequest("caller", null);
  app.decorateRequest("allowance", null);
  app.addHook("onSend", async (_request, reply) => {
    // A connection that is kept would bring the next request here as well.
    if (streams.draining) reply.header("connection", "close");
  });
  app.register(helmet, {
    contentSecurityPolicy: { useDefaults: false, directives: PAGE_POLICY },
    hsts: false,
  });
  if (deps.corsOrigins?.length)
    app.register(cors, {
      origin: [...deps.corsOrigins],
      methods: ["GET", "HEAD", "POST", "PUT", "DELETE"],
      maxAge: 600,
      exposedHeaders: ["location", "retry-after", "traceparent"],
    });
  describeRoutes(app);
  app.register(async (scope) => healthRoutes(typed(scope), parts));
  app.register(async (scope) => registerV1(scope, parts, settings), { prefix: "/v1" });
  servePage(app, deps.staticDir, deps.log);

  app.decorate("drainStreams", () => streams.drain());
  app.decorate("endWaits", () => {
    for (const wait of parts.waits) wait.end();
  });
  app.addHook("preClose", async () => streams.close());
  app.addHook("onClose", async () => hub.close());
  return app;
}

const typed = (app: FastifyInstance): App => app.withTypeProvider<ZodTypeProvider>();

/** Everything below /v1 needs a key; each file of routes asks for its scope. */
async function registerV1(
  v1: FastifyInstance,
  parts: GatewayParts,
  settings: GatewaySettings,
): Promise<void> {
  authenticate(v1, {
    keys: parts.deps.keys,
    throttle: new Throttle(settings),
    demoKey: parts.deps.demoKey === true,
  });
  for (const routes of [
    messageRoutes,
    conversationRoutes,
    eventRoutes,
    knowledgeRoutes,
    knowledgeEventRoutes,
    actorRoutes,
    adminRoutes,
  ])
    v1.register(async (scope) => routes(typed(scope), parts));
  const { load, dead, cache } = parts.deps;
  if (cache) v1.register(async (scope) => cacheRoutes(typed(scope), cache));
  v1.register(async (scope) => sessionRoutes(typed(scope), parts.deps.conversations));
  if (dead) v1.register(async (scope) => deadRoutes(typed(scope), dead));
  if (load) v1.register(async (scope) => loadRoutes(typed(scope), load));
  const { completions } = parts.deps;
  if (completions) v1.register(async (scope) => openAiRoutes(typed(scope), parts, completions));
}
