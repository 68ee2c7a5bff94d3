/** The role `retrieval`: answers questions of other processes over NATS, one of many that share a queue. */
import { CORE } from "#contracts/subjects.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import type { Log } from "#runtime/observe/log.ts";
import { metrics } from "#runtime/observe/metrics.ts";
import type { Retriever } from "./port.ts";
import { decodeAsk, encodeFound } from "./retrieval-wire.ts";

const QUEUE = "retrieval";
/** Beyond this many at once everybody would wait in vain: who asks gives up after 280 ms. */
const MOST = 256;

export interface RetrievalService {
  /** Questions being answered. */
  readonly running: number;
  /** Takes no more and finishes what it holds. */
  stop(): Promise<void>;
}

export function serveRetrieval(bus: Bus, retriever: Retriever, log: Log): RetrievalService {
  const running = new Set<Promise<void>>();
  const answer = async (data: Uint8Array, respond: (data: Uint8Array) => void): Promise<void> => {
    try {
      respond(encodeFound(await retriever.retrieve(decodeAsk(data))));
    } catch (err) {
      log.warn({ err }, "a question to retrieval is not answered");
      metrics.retrievals({ part: "service", result: "error" });
    }
  };
  const subscription = bus.subscribe(
    CORE.retrieval,
    ({ data, respond }) => {
      if (running.size >= MOST) return metrics.retrievals({ part: "service", result: "full" });
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
      subscription.stop();
      await Promise.all(running);
    },
  };
}
