/** A model for benchmarks: answers inside the worker, at once or after a fixed time, with as many bytes as asked. */
import { NO_USAGE } from "#contracts/usage.ts";
import { systemClock } from "#runtime/clock.ts";
import type { Model } from "../port.ts";

export interface EchoOptions {
  /** Bytes of the answer. */
  readonly replyBytes?: number;
  /** Pieces it is streamed in; 0 streams nothing. */
  readonly chunks?: number;
  /** Time between two pieces. */
  readonly chunkMs?: number;
  /** Model time before the first token. */
  readonly delayMs?: number;
}

const FILLER = "the quick brown fox jumps over the lazy dog ";

export function echoModel(name: string, options: EchoOptions = {}): Model {
  const { replyBytes = 1_024, chunks = 0, chunkMs = 0, delayMs = 0 } = options;
  const filler = FILLER.repeat(Math.ceil(replyBytes / FILLER.length));
  return {
    name,
    provider: "echo",
    async run(job, { signal, onText }) {
      if (delayMs > 0) await systemClock.sleep(delayMs, signal);
      // One byte a character keeps the promise about bytes whatever the question is written in.
      const head = `echo ${job.question.slice(0, 80)} `.replace(/[^\x20-\x7e]/g, "?");
      const text = (head + filler).slice(0, replyBytes);
      const step = chunks > 0 ? Math.ceil(text.length / chunks) : 0;
      for (let at = 0; step > 0 && at < text.length; at += step) {
        if (chunkMs > 0 && at > 0) await systemClock.sleep(chunkMs, signal);
        onText(text.slice(at, at + step));
      }
      return { text, citations: [], usage: NO_USAGE, finish: "stop" };
    },
  };
}
