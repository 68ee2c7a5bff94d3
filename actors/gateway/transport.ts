/** How bytes become requests: limits of time, size and shape, before any route is asked. */
import { isUtf8 } from "node:buffer";
import type { Socket } from "node:net";
import type { FastifyBodyParser, FastifyInstance, FastifyServerOptions } from "fastify";
import { type ErrorCode, JetclawError } from "#contracts/errors.ts";
import { LIMITS } from "#contracts/limits.ts";
import { freshContext, parseTraceparent } from "#runtime/observe/trace.ts";
import { nestsDeeper } from "./input.ts";
import { PROBLEM_TYPE, problemOf, sendProblem } from "./problems.ts";
import type { GatewaySettings } from "./settings.ts";

/** Not by `import`, which reads every name of the module, and some of them load Node's own undici: 60 ms of a start. */
const { STATUS_CODES } = process.getBuiltinModule("node:http");
/** Percent-encoded, a character of an id takes up to nine. */
const PARAM_CHARS = LIMITS.idChars * 9;
/** How often Node looks for requests that arrive too slowly. */
const CHECK_MS = 1_000;
/** A connection that is silent for so long is asked whether it still stands. */
const KEEP_ALIVE_MS = 30_000;

export function serverOptions(settings: GatewaySettings): FastifyServerOptions & { http: object } {
  const { headersTimeoutMs, requestTimeoutMs, headerBytes } = settings;
  return {
    bodyLimit: LIMITS.bodyBytes,
    requestTimeout: requestTimeoutMs,
    http: {
      headersTimeout: headersTimeoutMs,
      requestTimeout: requestTimeoutMs,
      maxHeaderSize: headerBytes,
      // A client of a stream that is gone without a word is noticed.
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_MS,
      connectionsCheckingInterval: Math.min(CHECK_MS, headersTimeoutMs),
    },
    routerOptions: { maxParamLength: PARAM_CHARS },
    exposeHeadRoutes: true,
    // While the gateway drains, requests on open connections are still answered, and the connection is closed.
    return503OnClosing: false,
    frameworkErrors: (error, request, reply) => void sendProblem(request, reply, error),
    clientErrorHandler: refuseBytes,
  };
}

/** What could not be read as a request is refused on the socket itself. */
function refuseBytes(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const code: ErrorCode =
    error.code === "ERR_HTTP_REQUEST_TIMEOUT"
      ? "request.timeout"
      : error.code === "HPE_HEADER_OVERFLOW"
        ? "request.too-large"
        : "request.invalid";
  const traceId = parseTraceparent(freshContext())?.traceId ?? "";
  const problem = problemOf(new JetclawError(code), traceId);
  const body = JSON.stringify(problem);
  socket.end(
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}\r\ncontent-type: ${PROBLEM_TYPE}\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
    // Half-closed by us; a peer that keeps its half open does not keep our socket.
    () => socket.destroy(),
  );
}

/** Limits that belong to the server object or to every request. */
export function guardTransport(app: FastifyInstance, settings: GatewaySettings): void {
  app.server.maxConnections = settings.connections;
  app.addHook("onRequest", async (request) => {
    const lines = request.raw.rawHeaders.length / 2;
    if (lines > settings.headerLines)
      throw new JetclawError("request.too-large", `${lines} header lines, at most ${settings.headerLines}`);
  });
  acceptJsonOnly(app, settings.jsonDepth);
}

function acceptJsonOnly(app: FastifyInstance, depth: number): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("application/json", { parseAs: "buffer" }, jsonParser(app, depth));
}

/** JSON as everywhere here: nested no deeper, and keys named __proto__ refused, so that nobody downstream has to think of them. */
export function jsonParser(
  app: Pick<FastifyInstance, "getDefaultJsonParser">,
  depth: number,
): FastifyBodyParser<Buffer> {
  const parse = app.getDefaultJsonParser("error", "error");
  return textParser((request, text, done) => {
    if (text === "") done(null, undefined);
    else if (nestsDeeper(text, depth))
      done(new JetclawError("request.invalid", `nested more than ${depth} deep`), undefined);
    else parse(request, text, done);
  });
}

/** Other bytes than UTF-8 are refused: read all the same, they would be kept with marks in place of letters. */
export function textParser(parse: FastifyBodyParser<string>): FastifyBodyParser<Buffer> {
  return (request, body, done) => {
    if (isUtf8(body)) parse(request, body.toString(), done);
    else done(new JetclawError("request.invalid", "the body is not UTF-8"), undefined);
  };
}
