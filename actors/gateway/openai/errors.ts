/** Failures of the OpenAI-compatible routes in the shape that OpenAI's clients read. */
import type { FastifyReply } from "fastify";
import { ERRORS, type ErrorCode, JetclawError } from "#contracts/errors.ts";
import type { JobResult } from "#contracts/job.ts";
import { retryAfterOf, toJetclawError } from "../problems.ts";

export interface OpenAiError {
  readonly message: string;
  readonly type: string;
  readonly param: string | null;
  readonly code: string | null;
}

/** A refusal that names the parameter, or a status that the table of errors has no code for. */
export class OpenAiRefusal extends JetclawError {
  readonly param: string | null;
  readonly openAiCode: string | null;
  readonly #status: number | undefined;

  constructor(
    message: string,
    options: {
      param?: string | undefined;
      code?: string;
      status?: number;
      as?: ErrorCode;
      retryAfterSeconds?: number | undefined;
    } = {},
  ) {
    const { param, code, status, as, retryAfterSeconds } = options;
    super(as ?? "request.invalid", message, retryAfterSeconds === undefined ? {} : { retryAfterSeconds });
    this.param = param ?? null;
    this.openAiCode = code ?? null;
    this.#status = status;
  }

  override get status(): number {
    return this.#status ?? super.status;
  }
}

const CODES: Partial<Readonly<Record<ErrorCode, string>>> = {
  "auth.missing": "invalid_api_key",
  "auth.forbidden": "insufficient_permissions",
  "auth.too-many-failures": "rate_limit_exceeded",
  "rate.limited": "rate_limit_exceeded",
  "load.refused": "rate_limit_exceeded",
  "request.too-large": "request_too_large",
  "turn.deadline": "timeout",
  "turn.timeout": "timeout",
};

const typeOf = (status: number): string => {
  if (status === 429) return "rate_limit_error";
  if (status === 401) return "authentication_error";
  if (status === 403) return "permission_error";
  return status >= 500 ? "server_error" : "invalid_request_error";
};

export function openAiError(thrown: unknown): { status: number; error: OpenAiError } {
  const error = toJetclawError(thrown);
  const { status } = error;
  const { text, next } = ERRORS[error.code];
  const refusal = error instanceof OpenAiRefusal ? error : undefined;
  const message =
    refusal?.detail ?? (status < 500 && error.detail ? `${text} ${error.detail}` : `${text} ${next}`);
  return {
    status,
    error: {
      message,
      type: typeOf(status),
      param: refusal?.param ?? null,
      code: refusal?.openAiCode ?? CODES[error.code] ?? null,
    },
  };
}

export function sendOpenAiError(reply: FastifyReply, thrown: unknown): FastifyReply {
  const known = toJetclawError(thrown);
  const { status, error } = openAiError(known);
  const retryAfter = retryAfterOf(known);
  if (retryAfter !== undefined) reply.header("retry-after", String(retryAfter));
  if (status === 401) reply.header("www-authenticate", 'Bearer realm="jetclaw"');
  return reply
    .code(status)
    .type("application/json; charset=utf-8")
    .header("cache-control", "no-store")
    .send(JSON.stringify({ error }));
}

/** Statuses of a provider by which the caller's own request is to blame. */
const CALLERS_FAULT = [400, 413, 422];

/** Why a job has no answer, as its caller should see it: a limit and its wait are passed on, a provider's words are not. */
export function failureOfResult({ finish, error }: JobResult): JetclawError {
  if (finish === "stopped")
    return new OpenAiRefusal("The request was cancelled.", { status: 499, code: "cancelled" });
  if (error?.code === "turn.deadline" || error?.upstreamStatus === 504)
    return new OpenAiRefusal("The answer was not complete within the time of the request.", {
      as: "turn.deadline",
      code: "timeout",
    });
  const { upstreamStatus: status, retryAfterSeconds } = error ?? {};
  if (status === 429)
    return new OpenAiRefusal("Every model that could answer is at the limit of its provider.", {
      as: "rate.limited",
      code: "rate_limit_exceeded",
      retryAfterSeconds,
    });
  if (status === 503 || retryAfterSeconds !== undefined)
    return new OpenAiRefusal("Every model that could answer is overloaded.", {
      as: "model.unavailable",
      code: "model_overloaded",
      retryAfterSeconds,
    });
  if (status !== undefined && CALLERS_FAULT.includes(status))
    return new OpenAiRefusal(`The model's provider refused the request (HTTP ${status}).`, {
      status,
      code: "provider_refused",
    });
  return new OpenAiRefusal("No model could answer.", { as: "turn.failed", code: "upstream_error" });
}
