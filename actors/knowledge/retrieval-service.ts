/** The role `retrieval`: answers questions of other processes over NATS, one of many that share a queue. */
import { CORE } from "#contracts/subjects.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import type { Log } from "#runtime/observe/log.ts";
import { metrics } from "#runtime/observe/metrics.ts";
import { within } from "#runtime/within.ts";
import type { ProvenRetriever } from "./port.ts";
import { decodeAsk, encodeFound } from "./retrieval-wire.ts";

const QUEUE = "retrieval";
/** Beyond this many at once everybody would wait in vain, as who asks gives up after 280 ms: they ask the next one. */
const MOST = 256;
/** An index that was frozen or cut off has so long to prove itself; then whoever asks is sent to the next one. */
const PROOF_MS = 60;
const BUSY = encodeFound({ passages: [], fresh: false, busy: true });

export interface RetrievalService {
  /** Questions being answered. */
  readonly running: number;
  /** Takes no more and finishes what it holds, and what was on its way: who asked would wait for that in vain. */
  stop(): Promise<void>;
}

export function serveRetrieval(bus: Bus, retriever: ProvenRetriever, log: Log): RetrievalService {
  const running = new Set<Promise<void>>();
  const answer = async (data: Uint8Array, respond: (data: Uint8Array) => void): Promise<void> => {
    try {
      if (!retriever.fresh()) await within(retriever.settled(), PROOF_MS);
      const passages = retriever.fresh() ? await retriever.retrieve(decodeAsk(data)) : [];
      // Asked again: it may have been frozen meanwhile.
      const fresh = retriever.fresh();
      if (!fresh) metrics.retrievals({ part: "service", result: "outdated" });
      respond(encodeFound({ passages: fresh ? passages : [], fresh }));
    } catch (err) {
      log.warn({ err }, "a question to retrieval is not answered");
      metrics.retrievals({ part: "service", result: "error" });
    }
  };
  const subscription = bus.subscribe(
    CORE.retrieval,
    ({ data, respond }) => {
      if (running.size >= MOST) {
        metrics.retrievals({ part: "service", result: "full" });
        return respond(BUSY);
      }
      const work = answer(data, respond).finally(() => running.delete(work));
      running.add(work);
    },
    { queue: QUEUE },
  );
  return {
    get running() {
      return running.size;
    },
    async stop() {
      await subscription.drain();
      await Promise.all(running);
    },
  };
}
