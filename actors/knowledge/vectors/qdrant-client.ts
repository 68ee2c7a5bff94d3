/**
 * Requests to Qdrant: time-out, retries, breaker, and its errors in our terms. The one file that knows its client. Only
 * what Qdrant 1.18 understands is sent.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { QdrantClient } from "@qdrant/js-client-rest";
import { type ErrorCode, JetclawError } from "#contracts/errors.ts";
import type { Breaker } from "#runtime/breaker.ts";
import { Gate } from "#runtime/gate.ts";
import { metrics } from "#runtime/observe/metrics.ts";

export interface QdrantOptions {
  readonly url: string;
  readonly apiKey?: string | undefined;
  readonly timeoutMs: number;
  /** Requests that fail in passing are made again so often. */
  readonly retries: number;
}

const RETRY_FIRST_MS = 100;
const QDRANT_PORT = 6_333;

/** What Qdrant answered with, where it did; for telling "there is none" from "it is gone". */
export class QdrantRefusal extends JetclawError {
  readonly upstreamStatus: number;
  /** The same request may be taken in a moment. */
  readonly passing: boolean;
  /** @param said in Qdrant's own words; undefined where it has none, as in a page of what stands before it */
  constructor(operation: string, status: number, said: string | undefined) {
    const passing = isPassingStatus(status, said);
    super(
      passing ? "vectors.unavailable" : codeOf(operation, status, said),
      `Qdrant answers ${status}${said === undefined ? "" : `: ${said.slice(0, 200)}`}`,
    );
    this.upstreamStatus = status;
    this.passing = passing;
  }
}

/** A key that is refused now may be right after the next start of either side. */
const isPassingStatus = (status: number, said: string | undefined): boolean =>
  status >= 500 ||
  [401, 403, 408, 429].includes(status) ||
  // Who stands before Qdrant knows of what it was sent how large it is, and neither documents nor collections.
  (said === undefined && status !== 413);

function codeOf(operation: string, status: number, said: string | undefined): ErrorCode {
  // Somebody else has put a collection of other vectors behind the name meanwhile.
  if (status === 400 && /dimension error/i.test(said ?? "")) return "vectors.dimension";
  // Only a refusal of points says something of a document, and none where there is nothing to put them into.
  return operation === "upsert" && status !== 404 ? "vectors.rejected" : "vectors.unavailable";
}

/**
 * Where a URL leads, in the words of the client: it would drop a path, and take port 6333 also where 80 or 443 are
 * written. Without a port it is Qdrant's own, as everywhere with Qdrant.
 */
export function addressOf(url: string): { host: string; port: number; https: boolean; prefix: string } {
  const { hostname, pathname, protocol, port } = new URL(url);
  const https = protocol === "https:";
  const written = /^\w+:\/\/[^/?#]*:\d+/.test(url);
  return {
    host: hostname,
    port: port !== "" ? Number(port) : written ? (https ? 443 : 80) : QDRANT_PORT,
    https,
    prefix: pathname.replace(/\/+$/, ""),
  };
}

export class QdrantRequests {
  readonly #client: Promise<QdrantClient>;
  readonly #options: QdrantOptions;
  readonly #gate = new Gate(
    () => new JetclawError("vectors.unavailable", "Qdrant failed a moment ago and is left alone"),
    (error) => (isPassing(error) ? "failed" : "neither"),
  );

  constructor(options: QdrantOptions) {
    this.#options = options;
    this.#client = clientOf(options);
    // Whoever sends hears of it.
    this.#client.catch(() => {});
  }

  get breaker(): Breaker["state"] {
    return this.#gate.state;
  }

  /**
   * @param operation how metrics call it; `upsert`: a refusal is one of points
   * @throws JetclawError `vectors.unavailable`, `vectors.rejected`, `vectors.dimension`; a QdrantRefusal where it answered
   */
  async send<T>(operation: string, call: (client: QdrantClient) => Promise<T>): Promise<T> {
    for (let tries = 0; ; tries++) {
      try {
        const result = await this.#gate.run(() =>
          this.#client.then(call).catch((error) => rethrow(operation, error)),
        );
        metrics.vectors({ operation, result: "ok" });
        return result;
      } catch (error) {
        const code = error instanceof JetclawError ? error.code : "internal.bug";
        metrics.vectors({ operation, result: code });
        if (tries >= this.#options.retries || !isPassing(error)) throw error;
        await sleep(RETRY_FIRST_MS * 2 ** tries * (0.5 + Math.random() / 2));
      }
    }
  }
}

/** Loaded by who uses it: it takes a tenth of a second of each start. */
async function clientOf({ url, apiKey, timeoutMs }: QdrantOptions): Promise<QdrantClient> {
  const { QdrantClient } = await import("@qdrant/js-client-rest");
  return new QdrantClient({
    ...addressOf(url),
    timeout: timeoutMs,
    // Both would write to the console: a version that differs, and a key over plain HTTP.
    checkCompatibility: false,
    ...(apiKey ? { headers: { "api-key": apiKey } } : {}),
  });
}

export const isMissing = (error: unknown): boolean =>
  error instanceof QdrantRefusal && error.upstreamStatus === 404 && !error.passing;

/** As many points are more than somebody on the way takes at once. */
export const isTooLarge = (error: unknown): boolean =>
  error instanceof QdrantRefusal && error.upstreamStatus === 413;

const isPassing = (error: unknown): boolean =>
  error instanceof QdrantRefusal
    ? error.passing
    : error instanceof JetclawError && error.code === "vectors.unavailable";

/** Status and reason only: what Qdrant says may repeat what it was sent, and the error travels to logs. */
function rethrow(operation: string, error: unknown): never {
  const { status, data } = error as { status?: unknown; data?: { status?: { error?: unknown } } };
  if (typeof status === "number") {
    const said = data?.status?.error;
    throw new QdrantRefusal(operation, status, typeof said === "string" ? said : undefined);
  }
  throw new JetclawError("vectors.unavailable", `Qdrant does not answer (${reasonOf(error)})`, {
    cause: error,
  });
}

function reasonOf(error: unknown): string {
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    const { code } = at as { code?: unknown };
    if (typeof code === "string") return code;
  }
  return error instanceof Error ? error.name : "unknown";
}
