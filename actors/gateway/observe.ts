/** A server span, a counted outcome and one line of access log for each request. Never text, never keys. */
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { TraceContext } from "#contracts/envelope.ts";
import type { Log } from "#runtime/observe/log.ts";
import { metrics } from "#runtime/observe/metrics.ts";
import { freshContext, parseTraceparent, type Span, SpanKind, startSpan } from "#runtime/observe/trace.ts";

declare module "fastify" {
  interface FastifyRequest {
    span: Span | null;
    /** What messages of this request carry; made when first asked for by a request that no hook saw. */
    trace: TraceContext | null;
  }
}

/** The caller's context, unless it is malformed. */
function parentOf(request: FastifyRequest): TraceContext | undefined {
  const { traceparent, tracestate } = request.headers;
  if (typeof traceparent !== "string" || parseTraceparent({ traceparent }) === undefined) return undefined;
  return typeof tracestate === "string" && tracestate.length <= 512
    ? { traceparent, tracestate }
    : { traceparent };
}

export function contextOf(request: FastifyRequest): TraceContext {
  request.trace ??= freshContext();
  return request.trace;
}

export function traceIdOf(request: FastifyRequest): string {
  return parseTraceparent(contextOf(request))?.traceId ?? "";
}

const routeOfRequest = (request: FastifyRequest): string => request.routeOptions.url ?? "unmatched";

export function observeRequests(app: FastifyInstance, log: Log): void {
  app.decorateRequest("span", null);
  app.decorateRequest("trace", null);

  app.addHook("onRequest", async (request, reply) => {
    const route = routeOfRequest(request);
    const parent = parentOf(request);
    request.span = startSpan(`${request.method} ${route}`, {
      kind: SpanKind.SERVER,
      parent,
      attributes: { "http.request.method": request.method, "http.route": route },
    });
    request.trace = request.span.context ?? freshContext();
    reply.header("traceparent", request.trace.traceparent);
  });

  app.addHook("onError", async (request, _reply, error) => {
    request.span?.set({ "error.type": error.name });
  });

  app.addHook("onResponse", async (request, reply) => {
    const route = routeOfRequest(request);
    // A caller who left got no status, whatever we would have said.
    const status = reply.raw.writableFinished ? `${Math.floor(reply.statusCode / 100)}xx` : "closed";
    metrics.requests({ route, status });
    request.span?.set({ "http.response.status_code": reply.statusCode });
    request.span?.end(reply.statusCode >= 500 ? `status ${reply.statusCode}` : undefined);
    log.debug(
      {
        method: request.method,
        route,
        status: reply.statusCode,
        ms: Math.round(reply.elapsedTime),
        tenant: request.caller?.tenant,
        traceId: traceIdOf(request),
      },
      "request",
    );
  });
}
