/** What goes wrong with an OpenAI-compatible server, in our codes. */
import { APIConnectionError, APIError } from "openai";
import { JetclawError } from "#contracts/errors.ts";

/** A provider's word about how long to wait is believed up to this. */
const RETRY_AFTER_LIMIT_SECONDS = 3_600;

/**
 * The detail names status and code only: providers repeat parts of the key and of the prompt in their messages, and
 * the error travels to logs. For the same reason the original is not kept as the cause.
 */
export function modelError(error: unknown): JetclawError {
  if (error instanceof JetclawError) return error;
  if (error instanceof APIConnectionError)
    return new JetclawError("model.unavailable", `no connection${causeOf(error)}`);
  if (error instanceof APIError) {
    const status: unknown = error.status;
    if (typeof status !== "number")
      return new JetclawError("model.unavailable", `an error inside the stream${codeOf(error)}`);
    const detail = `HTTP ${status}${codeOf(error)}`;
    const retryAfterSeconds = retryAfterOf(error.headers);
    if (status === 408 || status === 409 || status === 429 || status >= 500)
      return new JetclawError(
        "model.unavailable",
        detail,
        retryAfterSeconds === undefined ? {} : { retryAfterSeconds },
      );
    return new JetclawError("model.rejected", detail);
  }
  if (error instanceof SyntaxError)
    return new JetclawError("model.unavailable", "the stream holds something else than JSON");
  // What is left comes from reading the socket: `terminated`, `other side closed` and their like.
  return new JetclawError("model.unavailable", `the connection broke${causeOf(error)}`);
}

/** Older and stricter servers answer 400 to an option they do not know, and name it. */
export function refusesStreamOptions(error: unknown): boolean {
  if (!(error instanceof APIError) || (error.status !== 400 && error.status !== 422)) return false;
  return /stream_options|include_usage|unrecognized|unknown (field|parameter)|extra (inputs|fields)/i.test(
    error.message,
  );
}

function codeOf(error: APIError): string {
  const code: unknown = error.code ?? error.type;
  return typeof code === "string" && /^[a-z0-9_.-]{1,64}$/i.test(code) ? ` (${code})` : "";
}

/** System error codes such as ECONNREFUSED, which say more than any text. */
function causeOf(error: unknown): string {
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    const code = (at as { code?: unknown }).code;
    if (typeof code === "string" && /^[A-Z0-9_]{1,64}$/.test(code)) return ` (${code})`;
  }
  return "";
}

function retryAfterOf(headers: Headers | undefined): number | undefined {
  const value = headers?.get("retry-after");
  if (!value) return undefined;
  const seconds = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - Date.now()) / 1_000;
  return Number.isFinite(seconds)
    ? Math.min(RETRY_AFTER_LIMIT_SECONDS, Math.max(0, Math.ceil(seconds)))
    : undefined;
}
