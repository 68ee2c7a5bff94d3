/** Every failure as RFC 9457 problem JSON, from the one table of errors. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { hasZodFastifySchemaValidationErrors } from "fastify-type-provider-zod";
import { z } from "zod";
import { ERRORS, type ErrorCode, JetclawError, type Retry } from "#contracts/errors.ts";
import { LIMITS } from "#contracts/limits.ts";
import type { Log } from "#runtime/observe/log.ts";
import { ID_RULE } from "./input.ts";
import { traceIdOf } from "./observe.ts";

export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail?: string;
  readonly code: ErrorCode;
  /** What to do about it. */
  readonly next: string;
  readonly traceId: string;
  readonly retry: Retry;
  /** Of a wait that ended: where the turn goes on. */
  readonly session?: string;
  readonly id?: string;
  readonly turn?: number;
}

export const problemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.number().int(),
    detail: z.string().optional(),
    code: z.enum(Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]]),
    next: z.string(),
    traceId: z.string(),
    retry: z.enum(["never", "later", "now"]),
    session: z.string().optional(),
    id: z.string().optional(),
    turn: z.number().int().optional(),
  })
  .meta({ id: "Problem", description: "RFC 9457 problem details." });

export const PROBLEM_TYPE = "application/problem+json";

/** A wait that ended before the answer; the turn goes on. */
export class WaitEnded extends JetclawError {
  readonly members: { readonly session: string; readonly id: string; readonly turn?: number };

  constructor(members: WaitEnded["members"]) {
    super("turn.timeout", `conversation ${members.session}: the turn goes on`);
    this.members = members;
  }
}

/** Codes whose detail was written for the caller; the detail of all others may say too much. */
const showsDetail = (error: JetclawError): boolean => error.status < 500 || error.code.startsWith("turn.");

export function problemOf(thrown: unknown, traceId: string): Problem {
  const error = toJetclawError(thrown);
  const { status, text, next, retry } = ERRORS[error.code];
  const detail = showsDetail(error)
    ? error.detail
    : error.code === "internal.bug"
      ? `reference ${traceId}`
      : undefined;
  return {
    type: `urn:jetclaw:problem:${error.code}`,
    title: text,
    status,
    ...(detail === undefined ? {} : { detail }),
    code: error.code,
    next,
    traceId,
    retry,
    ...(error instanceof WaitEnded ? error.members : {}),
  };
}

/** Seconds for `Retry-After`, where the answer has one. */
export function retryAfterOf(error: JetclawError): number | undefined {
  if (error.retryAfterSeconds !== undefined) return Math.max(1, Math.ceil(error.retryAfterSeconds));
  return error.status === 429 || error.status === 503 ? 1 : undefined;
}

export function sendProblem(request: FastifyRequest, reply: FastifyReply, thrown: unknown): FastifyReply {
  const error = toJetclawError(thrown);
  const problem = problemOf(error, traceIdOf(request));
  const retryAfter = retryAfterOf(error);
  if (retryAfter !== undefined) reply.header("retry-after", String(retryAfter));
  if (error.code === "auth.missing") reply.header("www-authenticate", 'Bearer realm="jetclaw"');
  return reply
    .code(problem.status)
    .type(PROBLEM_TYPE)
    .header("cache-control", "no-store")
    .send(JSON.stringify(problem));
}

/** Everything that fails in the routes of `app`, keys and bodies included, leaves by `send`. */
export function refuseBy(
  app: FastifyInstance,
  log: Log,
  send: (request: FastifyRequest, reply: FastifyReply, error: JetclawError) => FastifyReply,
): void {
  app.setErrorHandler((thrown, request, reply) => {
    const error = toJetclawError(thrown);
    if (error.code === "internal.bug")
      log.error({ err: error.cause, route: request.routeOptions.url }, "request failed");
    return send(request, reply, error);
  });
}

/** Fastify's own errors in our terms. @see https://fastify.dev/docs/latest/Reference/Errors/ */
const FASTIFY_CODES: Readonly<Record<string, readonly [ErrorCode, string?]>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: ["request.too-large", `a body is at most ${LIMITS.bodyBytes} bytes`],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: ["request.media-type"],
  FST_ERR_CTP_EMPTY_JSON_BODY: ["request.invalid", "the body is empty"],
  FST_ERR_CTP_INVALID_JSON_BODY: ["request.invalid", "the body is not JSON"],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: ["request.invalid", "Content-Length is not the length of the body"],
  FST_ERR_BAD_URL: ["request.invalid", "the path is not valid percent-encoding"],
  FST_ERR_MAX_PARAM_LENGTH: ["request.id", ID_RULE],
  FST_ERR_NOT_FOUND: ["route.not-found"],
};

export function toJetclawError(thrown: unknown): JetclawError {
  if (thrown instanceof JetclawError) return thrown;
  if (hasZodFastifySchemaValidationErrors(thrown)) return validationError(thrown.validation);
  const { code, statusCode } = (typeof thrown === "object" && thrown !== null ? thrown : {}) as {
    code?: unknown;
    statusCode?: unknown;
  };
  const known = typeof code === "string" ? FASTIFY_CODES[code] : undefined;
  if (known) return new JetclawError(known[0], known[1], { cause: thrown });
  // Parsers and plugins mark the caller's faults by a status of their own.
  if (typeof statusCode === "number" && statusCode >= 400 && statusCode < 500)
    return new JetclawError(statusCode === 413 ? "request.too-large" : "request.invalid", undefined, {
      cause: thrown,
    });
  return new JetclawError("internal.bug", undefined, { cause: thrown });
}

const DETAIL_CHARS = 500;

/** Names the fields and what is wrong with them, never their values. */
function validationError(
  issues: readonly { instancePath: string; message?: string | undefined }[],
): JetclawError {
  const said = issues.map(
    ({ instancePath, message }) =>
      `${instancePath.slice(1).replaceAll("/", ".") || "body"}: ${message ?? "is not valid"}`,
  );
  const code = issues.some(({ message }) => message === ID_RULE) ? "request.id" : "request.invalid";
  return new JetclawError(code, said.join("; ").slice(0, DETAIL_CHARS));
}
