/** Asks a process that holds documents, over NATS: which one, the queue they share decides. */
import { setTimeout as sleep } from "node:timers/promises";
import { JetclawError } from "#contracts/errors.ts";
import type { Passage } from "#contracts/job.ts";
import { CORE } from "#contracts/subjects.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { metrics } from "#runtime/observe/metrics.ts";
import type { RetrievalQuery, Retriever } from "./port.ts";
import { decodeFound, encodeAsk } from "./retrieval-wire.ts";

/** With less time left nobody is asked again, nor more often than that. */
const LEAST_MS = 20;
const MOST_ASKED = 4;
/** How long whoever searches waits; a turn has no such patience. */
const SEARCH_MS = 5_000;
/** Meanwhile one that is busy has answered others, and one that has to prove its index has done so. */
const PAUSE_MS = 100;
/** A try has no less, so that its answer can come. */
const LEAST_TRY_MS = 300;

/**
 * One that cannot prove its index, or is busy, says so, and the next one is asked.
 * @param until on the clock of `performance.now()`
 * @throws JetclawError `knowledge.unavailable` where nobody who is fresh and has room answers in time
 */
export async function askRetrieval(
  bus: Bus,
  query: RetrievalQuery,
  until: number,
): Promise<readonly Passage[]> {
  const asked = encodeAsk(query);
  for (let tries = 1; ; tries++) {
    const leftMs = Math.max(1, until - performance.now());
    const answer = await bus.request(CORE.retrieval, asked, leftMs).catch((cause: unknown) => {
      throw new JetclawError("knowledge.unavailable", "no process that holds documents answers", { cause });
    });
    const { passages, fresh, busy } = decodeFound(answer);
    if (fresh) return passages;
    metrics.retrievals({ part: "remote", result: busy ? "busy" : "outdated" });
    if (tries === MOST_ASKED || until - performance.now() < LEAST_MS)
      throw new JetclawError(
        "knowledge.unavailable",
        busy
          ? "every process that holds documents is busy"
          : "no process that holds documents can prove that its index is current",
      );
  }
}

/** For a process without documents whose callers want to know that nobody could search: it throws as above. */
export const remoteSearch = (bus: Bus): Retriever => ({
  retrieve: async (query) => [...(await searchRetrieval(bus, query, performance.now() + SEARCH_MS))],
});

/** Each try has half of the time that is left: one that is frozen must not take all of it, and a slow one may answer. */
async function searchRetrieval(bus: Bus, query: RetrievalQuery, until: number): Promise<readonly Passage[]> {
  for (;;) {
    const from = performance.now();
    const tryMs = Math.max(LEAST_TRY_MS, (until - from) / 2);
    try {
      return await askRetrieval(bus, query, from + tryMs);
    } catch (error) {
      const now = performance.now();
      // The server says at once that nobody is there.
      const nobody = error instanceof JetclawError && error.cause !== undefined && now - from < tryMs / 2;
      if (nobody || until - now < PAUSE_MS + LEAST_TRY_MS) throw error;
    }
    await sleep(PAUSE_MS);
  }
}
