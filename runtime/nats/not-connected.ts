/** Why there is no connection, in words that say what to do, and what NATS throws later, in our terms. */
import {
  AuthorizationError,
  PermissionViolationError,
  RequestError,
  TimeoutError,
} from "@nats-io/transport-node";
import { JetclawError } from "#contracts/errors.ts";
import { isNewEnough, OLDEST_VERSION } from "./server/version.ts";

/** `nats.refused` and `start.refused` where waiting does not help. */
export function notConnected(at: string, cause: unknown): JetclawError {
  if (cause instanceof TooOld)
    return new JetclawError(
      "start.refused",
      `${at} is NATS ${cause.message}; ${OLDEST_VERSION} or newer is needed`,
    );
  if (isUserRefused(cause)) return new JetclawError("nats.refused", `${at} refuses this user`, { cause });
  if (cause instanceof Error && cause.message === NO_TLS)
    return new JetclawError("start.refused", `${at} speaks no TLS, and the address says tls://`, { cause });
  const code = codeOf(cause);
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID")
    return new JetclawError(
      "start.refused",
      `the certificate of ${at} is for another name; write the server as it does, and an IP address with tls:// before it`,
      { cause },
    );
  if (code && OF_TLS.test(code))
    return new JetclawError(
      "start.refused",
      `TLS with ${at} fails (${code}): name its authority by NODE_EXTRA_CA_CERTS, and the server as its certificate does`,
      { cause },
    );
  // Its class is not exported.
  const plain = cause instanceof Error && cause.name === "JetStreamNotEnabled";
  const why = plain
    ? `${at} runs without JetStream; start it with -js`
    : `cannot connect to ${at}${cause instanceof TimeoutError ? ": no answer in time" : code ? ` (${code})` : ""}`;
  return new JetclawError("nats.unavailable", why, { cause });
}

/** What nats.js says where TLS is asked for. */
const NO_TLS = "server does not support 'tls'";

/** What Node says of a certificate or of a handshake that fails. */
const OF_TLS = /CERT|LEAF_SIGNATURE|ISSUER|HOSTNAME_MISMATCH|^ERR_(TLS|SSL)_|^EPROTO$/;

function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  return "code" in error && typeof error.code === "string" ? error.code : codeOf(error.cause);
}

export const isUserRefused = (error: unknown): boolean => error instanceof AuthorizationError;

/** A server that lacks what is used of it. */
class TooOld extends Error {}

/** @throws TooOld */
export function assertNewEnough(version = ""): void {
  if (!isNewEnough(version)) throw new TooOld(version);
}

/** Everything NATS throws, in our terms. */
export function natsError(error: unknown): JetclawError {
  if (error instanceof JetclawError) return error;
  if (error instanceof PermissionViolationError)
    return new JetclawError("nats.unavailable", "the NATS user lacks a permission", { cause: error });
  if (error instanceof TimeoutError || error instanceof RequestError)
    return new JetclawError("nats.unavailable", undefined, { cause: error });
  return new JetclawError("nats.unavailable", error instanceof Error ? error.message : undefined, {
    cause: error,
  });
}
