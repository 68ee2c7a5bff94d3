/** What goes wrong with an OpenAI-compatible server, in our codes. */
import { JetclawError } from "#contracts/errors.ts";
import { type FailureReason, ModelFailure } from "../failure.ts";
import { ProviderRefusal, ProviderUnreachable } from "./provider.ts";
import { restOf } from "./rate-limits.ts";

/** Codes of a 429 that no waiting cures: the account is empty. */
const EXHAUSTED = /insufficient_quota|billing|insufficient_balance|exceeded_current_quota/i;

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
    const reason = reasonOf(status, codeOf(error));
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

function reasonOf(status: number, code: string): FailureReason {
  if (status === 402 || (status === 429 && EXHAUSTED.test(code))) return "exhausted";
  if (status === 429) return "limited";
  if (status === 401 || status === 403) return "unauthorized";
  if (status === 404) return "missing";
  if (status === 503 || status === 529) return "overloaded";
  // A redirect is not followed, and says nothing about the request.
  return status < 400 || status === 408 || status === 409 || status >= 500 ? "failed" : "refused";
}

/** Older and stricter servers answer 400 to an option they do not know, and name it. */
export function refusesStreamOptions(error: unknown): boolean {
  if (!(error instanceof ProviderRefusal) || (error.status !== 400 && error.status !== 422)) return false;
  return /stream_options|include_usage|unrecognized|unknown (field|parameter)|extra (inputs|fields)/i.test(
    error.message,
  );
}

const codeOf = ({ code }: ProviderRefusal): string => (/^[a-z0-9_.-]{1,64}$/i.test(code) ? ` (${code})` : "");

/** System error codes such as ECONNREFUSED, which say more than any text. */
function causeOf(error: unknown): string {
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    const code = (at as { code?: unknown }).code;
    if (typeof code === "string" && /^[A-Z0-9_]{1,64}$/.test(code)) return ` (${code})`;
  }
  return "";
}
