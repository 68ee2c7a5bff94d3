/** The seam through which the runtime sees time and chance, so that tests can own both. */
import { randomText } from "./random-pool.ts";

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** A fresh id of 22 URL-safe characters, 128 random bits. */
  id(): string;
  /** Resolves after `ms`; rejects with the signal's reason when aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** A number in [0, 1). */
  random(): number;
}

/** In ms, of a clock that only goes forward: setting a machine's time must not make anybody look dead. */
export const steadyNow = (): number => performance.now();

export const systemClock: Clock = {
  now: () => Date.now(),
  id: () => randomText(16, "base64url"),
  random: () => Math.random(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const abort = (): void => {
        clearTimeout(timer);
        reject(signal?.reason);
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener("abort", abort);
        resolve();
      }, ms);
      signal?.addEventListener("abort", abort, { once: true });
    }),
};
