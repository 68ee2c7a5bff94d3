/** Texts of many documents embedded together, so that a model gets full batches and one bad text fails alone. */
import { randomUUID } from "node:crypto";
import { JetclawError } from "#contracts/errors.ts";
import type { Embedder } from "../port.ts";
import { apart } from "./apart.ts";
import { Coalescer } from "./coalescer.ts";

/** Requests under way at once: one that is read while the other one is computed. */
const REQUESTS = 2;
const TEXTS = 32;
/** Questions share the model: a request that takes longer makes the next one smaller, a quick one larger. */
const SLOW_MS = 400;
const QUICK_MS = 150;
/** So long nobody asks a model that refused everything: each change that waits tries as often for itself. */
const LEFT_ALONE_MS = 4_000;
/** No model refuses it. */
export const PROBE = "shop";

interface Asked {
  readonly text: string;
  /** Nobody wants its vector any more. */
  readonly signal: AbortSignal | undefined;
}

export class TextBatches {
  readonly #embedder: Embedder;
  readonly #batches: Coalescer<Asked, Float32Array | JetclawError | undefined>;
  /** The model refused everything; nobody asks it before. */
  #leftAloneUntil = 0;

  constructor(embedder: Embedder, batchTexts = TEXTS) {
    this.#embedder = embedder;
    let size = Math.min(batchTexts, TEXTS);
    this.#batches = new Coalescer({ most: () => size, concurrent: REQUESTS }, async (asked) => {
      const wanted = asked.filter(({ signal }) => !signal?.aborted);
      if (wanted.length === 0) return asked.map(() => undefined);
      const began = performance.now();
      const vectors = await this.#embedApart(wanted.map(({ text }) => text));
      const took = performance.now() - began;
      if (took > SLOW_MS) size = Math.max(1, Math.min(size, wanted.length) >> 1);
      else if (took < QUICK_MS) size = Math.min(batchTexts, 2 * size);
      const given = new Map(wanted.map((each, n) => [each, vectors[n]]));
      return asked.map((each) => given.get(each));
    });
  }

  /**
   * @param signal aborted: what is not under way is left out, and this throws at once
   * @throws JetclawError `embeddings.rejected` for a text that the model refuses while it takes others
   */
  async embed(texts: readonly string[], signal?: AbortSignal): Promise<Float32Array[]> {
    const added = Promise.all(texts.map((text) => this.#batches.add({ text, signal })));
    const vectors = await (signal ? unlessAborted(added, signal) : added);
    const refused = vectors.find((each) => each instanceof JetclawError);
    if (!refused) return vectors as Float32Array[];
    await this.#assertTakesOthers(refused);
    throw refused;
  }

  /** One text must not cost the others their vectors. In halves every text would be asked for where all are refused. */
  #embedApart(texts: readonly string[]): Promise<(Float32Array | JetclawError)[]> {
    if (performance.now() < this.#leftAloneUntil)
      throw new JetclawError(
        "embeddings.unavailable",
        "it refused everything a moment ago and is left alone",
      );
    const embed = (some: readonly string[]): Promise<Float32Array[]> => this.#embedder.embed(some);
    return apart(texts, "embeddings.rejected", embed, (why) => this.#assertTakesOthers(why));
  }

  /**
   * A wrong key or model refuses everything: that is nothing to give a document up for. What was asked before may be
   * remembered, and would be taken whatever the model says now. @throws JetclawError `embeddings.unavailable`
   */
  async #assertTakesOthers(why: JetclawError): Promise<void> {
    const probe = [`${PROBE} ${randomUUID()}`];
    const [probed] = await apart(probe, "embeddings.rejected", (texts) => this.#embedder.embed(texts));
    if (!(probed instanceof JetclawError)) return;
    this.#leftAloneUntil = performance.now() + LEFT_ALONE_MS;
    throw new JetclawError("embeddings.unavailable", why.detail, { cause: why });
  }
}

/** @throws the signal's reason */
function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const abort = (): void => aborted.reject(signal.reason);
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort, { once: true });
  return Promise.race([work, aborted.promise]).finally(() => signal.removeEventListener("abort", abort));
}
