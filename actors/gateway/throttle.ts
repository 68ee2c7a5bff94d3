/** Two counters in memory: requests by key, and wrong keys by address. Both belong to one gateway. */
import { RateLimiterMemory, RateLimiterRes } from "rate-limiter-flexible";
import { type ErrorCode, JetclawError } from "#contracts/errors.ts";
import { metrics } from "#runtime/observe/metrics.ts";

/** What a key may still ask in the present second. */
export interface Allowance {
  readonly limit: number;
  readonly remaining: number;
  readonly resetMs: number;
}

export class Throttle {
  readonly #requests: RateLimiterMemory;
  readonly #failures: RateLimiterMemory;

  constructor(limits: { requestsPerSecond: number; wrongKeysPerMinute: number }) {
    this.#requests = new RateLimiterMemory({ points: limits.requestsPerSecond, duration: 1 });
    this.#failures = new RateLimiterMemory({ points: limits.wrongKeysPerMinute, duration: 60 });
  }

  /** @throws JetclawError `rate.limited` */
  async admitRequest(keyId: string): Promise<Allowance> {
    const { remainingPoints, msBeforeNext } = await take(this.#requests, keyId, "rate.limited");
    return { limit: this.#requests.points, remaining: Math.max(0, remainingPoints), resetMs: msBeforeNext };
  }

  /**
   * Asked before a key is looked up.
   * @throws JetclawError `auth.too-many-failures`
   */
  async admitAttempt(address: string): Promise<void> {
    const failures = await this.#failures.get(networkOf(address));
    if (!failures || failures.consumedPoints < this.#failures.points) return;
    refuse(failures, "auth.too-many-failures");
  }

  async noteFailure(address: string): Promise<void> {
    // Rejects above the limit, which is what admitAttempt reports from then on.
    await this.#failures.consume(networkOf(address)).catch(() => {});
  }
}

async function take(limiter: RateLimiterMemory, key: string, code: ErrorCode): Promise<RateLimiterRes> {
  try {
    return await limiter.consume(key);
  } catch (refused) {
    if (refused instanceof RateLimiterRes) refuse(refused, code);
    throw refused;
  }
}

function refuse(state: RateLimiterRes, code: ErrorCode): never {
  metrics.refusals({ reason: code });
  throw new JetclawError(code, undefined, { retryAfterSeconds: Math.ceil(state.msBeforeNext / 1_000) });
}

/** One customer of an IPv6 provider owns a /64, so its addresses count as one. */
export function networkOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  if (mapped) return mapped[1] as string;
  if (!address.includes(":")) return address;
  const [head = "", tail] = address.split("::");
  const groups = head.split(":").filter(Boolean);
  if (tail !== undefined) while (groups.length < 4) groups.push("0");
  return groups.slice(0, 4).join(":");
}
