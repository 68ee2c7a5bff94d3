/** Who calls: one key a request, resolved before the body is read. Every refusal of a key looks the same. */
import { isIP } from "node:net";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { JetclawError } from "#contracts/errors.ts";
import { hashKey, sameDigest } from "./keys.ts";
import { type Identity, type KeyStore, SCOPES, type Scope } from "./port.ts";
import type { Allowance, Throttle } from "./throttle.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** Set by `authenticate`, so present in every route below /v1. */
    caller: Identity | null;
    /** Of the caller's key, for headers that tell it. */
    allowance: Allowance | null;
  }
}

/** The key of a fresh clone, on loopback only. */
export const DEMO_KEY = "demo";
const DEMO_DIGEST = hashKey(DEMO_KEY);
const DEMO_IDENTITY: Identity = { id: "demo", tenant: "demo", scopes: SCOPES };

/** @throws JetclawError `request.invalid` for more than one credential, `auth.missing` for none. */
function keyOf(request: FastifyRequest): string {
  const { authorization = [], "x-api-key": plain = [] } = request.raw.headersDistinct;
  if (authorization.length + plain.length > 1)
    throw new JetclawError("request.invalid", "more than one credential: send one Authorization header");
  const header = authorization[0];
  const key = header === undefined ? plain[0] : /^Bearer +(\S+) *$/i.exec(header)?.[1];
  if (!key) throw new JetclawError("auth.missing");
  return key;
}

/**
 * True for the name of a foreign site in `Host`: a page whose name was pointed at this machine (DNS rebinding) may
 * not use the demo key that everybody knows.
 */
export function isForeignHost(host: string | undefined): boolean {
  const name = (host ?? "").replace(/:\d+$/, "").toLowerCase();
  if (!name.includes(".") || name.startsWith("[") || isIP(name) !== 0) return false;
  return !name.endsWith(".localhost");
}

export interface AuthOptions {
  readonly keys: KeyStore;
  readonly throttle: Throttle;
  readonly demoKey: boolean;
}

/** Refuses every request of `app` that brings no valid key, and those above the key's rate. */
export function authenticate(app: FastifyInstance, { keys, throttle, demoKey }: AuthOptions): void {
  app.addHook("onRequest", async (request) => {
    const key = keyOf(request);
    const demo = demoKey && sameDigest(hashKey(key), DEMO_DIGEST) && !isForeignHost(request.headers.host);
    // Behind a proxy everybody has its address: who guesses there locks out no key that is known to be right.
    if (!demo && !keys.holds(key)) await throttle.admitAttempt(request.ip);
    const identity = demo ? DEMO_IDENTITY : await keys.resolve(key);
    if (!identity) {
      await throttle.noteFailure(request.ip);
      throw new JetclawError("auth.missing");
    }
    request.allowance = await throttle.admitRequest(identity.id);
    request.caller = identity;
  });
}

/** Refuses keys without the scope, for every route of `app`. */
export function requireScope(app: FastifyInstance, scope: Scope): void {
  app.addHook("onRequest", async (request) => {
    if (!callerOf(request).scopes.includes(scope)) throw new JetclawError("auth.forbidden", `scope ${scope}`);
  });
}

export function callerOf(request: FastifyRequest): Identity {
  if (!request.caller) throw new JetclawError("auth.missing");
  return request.caller;
}

export function isLoopback(host: string): boolean {
  const name = host.toLowerCase().replace(/^\[(.*)\]$/, "$1");
  return name === "localhost" || name === "::1" || (isIP(name) === 4 && name.startsWith("127."));
}

/**
 * An address that others can reach needs keys of its own.
 * @throws JetclawError `start.refused`
 */
export function assertBindable(host: string, hasKeys: boolean): void {
  if (isLoopback(host) || hasKeys) return;
  throw new JetclawError(
    "start.refused",
    `${host} can be reached from other machines and no API key is configured; make one with "jetclaw keys create --tenant <tenant> --nats <url>" (or through a gateway on 127.0.0.1), or listen on 127.0.0.1`,
  );
}
