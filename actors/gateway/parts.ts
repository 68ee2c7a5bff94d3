/** What the routes share, made once a gateway. */
import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import type { SessionHub } from "./session-hub.ts";
import type { GatewayDeps, GatewaySettings } from "./settings.ts";
import type { SseStreams } from "./sse.ts";

export interface GatewayParts {
  readonly deps: GatewayDeps;
  readonly settings: GatewaySettings;
  readonly hub: SessionHub;
  readonly streams: SseStreams;
  /** Requests that wait for an answer, of which a gateway that ends takes leave. */
  readonly waits: Set<{ end(): void }>;
}

/** Fastify with requests typed by their zod schemas. */
export type App = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  ZodTypeProvider
>;

/** Adds the routes of one file. Hooks that it adds are its own. */
export type Routes = (app: App, parts: GatewayParts) => void | Promise<void>;
