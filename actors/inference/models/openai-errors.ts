/** What goes wrong with an OpenAI-compatible server, in our codes. */
import { JetclawError } from "#contracts/errors.ts";
import { type FailureReason, ModelFailure } from "../failure.ts";
import { ProviderRefusal, ProviderUnreachable } from "./provider.ts";
import { restOf } from "./rate-limits.ts";

/** Codes of a 429 that no waiting cures: the account is empty. */
const EXHAUSTED = /insufficient_quota|billing|insufficient_balance|exceeded_current_quota/i;
const GOOGLE_KEY = "API_KEY_INVALID";
const ANTHROPIC_EMPTY = "Your credit balance is too low";

/**
 * The detail names status and code only: providers repeat parts of the key and of the prompt in their messages, and
 * the error travels to logs. For the same reason the original is not kept as the cause.
 */
export function modelError(error: unknown): JetclawError {
  if (error instanceof JetclawError) return error;
  if (error instanceof ProviderUnreachable)
    return new ModelFailure("failed", `no connection${causeOf(error)}`);
  if (error instanceof ProviderRefusal) {
    const { status } = error;
    const reason = reasonOf(error);
    const waits = reason === "limited" || reason === "overloaded";
    return new ModelFailure(
      reason,
      `HTTP ${status}${codeOf(error)}`,
      waits ? restOf(error.headers, Date.now()) : undefined,
    );
  }
  if (error instanceof SyntaxError)
    return new ModelFailure("failed", "the stream holds something else than JSON");
  // What is left comes from reading the socket: `terminated`, `other side closed` and their like.
  return new ModelFailure("failed", `the connection broke${causeOf(error)}`);
}

const NO_HEADERS = { get: () => null };

/** An error that a server sends in place of an answer, under a status of success: routers name the status it would have had. */
export function errorInside(error: unknown): ModelFailure {
  const status = Number((error as { code?: unknown } | null)?.code);
  if (!Number.isInteger(status) || status < 400 || status > 599)
    return new ModelFailure("failed", "an error inside the stream");
  const refusal = new ProviderRefusal(status, JSON.stringify({ error }), NO_HEADERS);
  return new ModelFailure(reasonOf(refusal), `an error inside the stream (HTTP ${status})`);
}

function reasonOf(refusal: ProviderRefusal): FailureReason {
  const { status, message } = refusal;
  const code = codeOf(refusal);
  if (status === 402 || (status === 429 && EXHAUSTED.test(code))) return "exhausted";
  if (status === 429) return "limited";
  if (status === 401 || status === 403) return "unauthorized";
  // Said with the status of a request that is wrong, which no other model would be asked with.
  if (status === 400 && code.includes(GOOGLE_KEY)) return "unauthorized";
  if (status === 400 && message.startsWith(ANTHROPIC_EMPTY)) return "exhausted";
  if (status === 404) return "missing";
  // 498 is Groq's.
  if (status === 503 || status === 529 || status === 498) return "overloaded";
  // A redirect is not followed, and says nothing about the request.
  return status < 400 || status === 408 || status === 409 || status >= 500 ? "failed" : "refused";
}

/**
 * What a request can do without, where a server knows no such option: the count of tokens in a stream, the name of the
 * token limit, a temperature of ours.
 */
export type Concession = "usage" | "limit" | "temperature";

const STREAM_OPTIONS = /stream_options|include_usage/i;
const UNKNOWN = /unrecognized|unknown (field|parameter)|extra (inputs|fields)/i;
const UNSUPPORTED = /unsupported|not supported/i;

/**
 * The concession that a refusal asks for, by the name of the option where it gives one.
 * @param ours the temperature is our own
 */
export function concessionOf(
  error: unknown,
  asked: {
    max_tokens?: unknown;
    max_completion_tokens?: unknown;
    temperature?: unknown;
    stream_options?: unknown;
  },
  ours: boolean,
): Concession | undefined {
  if (!(error instanceof ProviderRefusal) || (error.status !== 400 && error.status !== 422)) return undefined;
  const { message } = error;
  if (STREAM_OPTIONS.test(message)) return asked.stream_options ? "usage" : undefined;
  const isUnknown = UNKNOWN.test(message);
  if (!isUnknown && !UNSUPPORTED.test(message)) return undefined;
  const limit = asked.max_tokens === undefined ? "max_completion_tokens" : "max_tokens";
  if (asked[limit] !== undefined && message.includes(limit)) return "limit";
  if (ours && asked.temperature !== undefined && message.includes("temperature")) return "temperature";
  return isUnknown && asked.stream_options ? "usage" : undefined;
}

/** Older and stricter servers answer 400 to an option they do not know, and name it. */
export const refusesStreamOptions = (error: unknown): boolean =>
  concessionOf(error, { stream_options: {} }, false) === "usage";

const codeOf = ({ code }: ProviderRefusal): string => (/^[a-z0-9_.-]{1,64}$/i.test(code) ? ` (${code})` : "");

/** System error codes such as ECONNREFUSED, which say more than any text. */
function causeOf(error: unknown): string {
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    const code = (at as { code?: unknown }).code;
    if (typeof code === "string" && /^[A-Z0-9_]{1,64}$/.test(code)) return ` (${code})`;
  }
  return "";
}
