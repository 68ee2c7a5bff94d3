/**
 * An embedder that remembers: the same text is asked for once while it is in memory.
 * What has to outlive the process is with the documents, in VECTORS.
 */
import { LRUCache } from "lru-cache";
import type { Embedder } from "../port.ts";
import { textHash } from "./text-hash.ts";

const MEMORY_BYTES = 32 * 1024 * 1024;

export class RememberingEmbedder implements Embedder {
  readonly #embedder: Embedder;
  readonly #known: LRUCache<string, Float32Array>;

  constructor(embedder: Embedder, memoryBytes = MEMORY_BYTES) {
    this.#embedder = embedder;
    this.#known = new LRUCache({
      maxSize: memoryBytes,
      // The key and the entry take about 150 bytes beside the numbers.
      sizeCalculation: (vector) => vector.byteLength + 150,
    });
  }

  get model(): string {
    return this.#embedder.model;
  }

  get dimensions(): number | undefined {
    return this.#embedder.dimensions;
  }

  async connect(): Promise<void> {
    await this.#embedder.connect?.();
  }

  forget(): void {
    this.#known.clear();
  }

  /**
   * Only texts that are not known are asked for, each once; all of them where the model gives others than those that are
   * known, which are forgotten. Nobody may change what is returned.
   */
  async embed(
    texts: readonly string[],
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<Float32Array[]> {
    const hashes = texts.map(textHash);
    const found = new Map<string, Float32Array>();
    const missing = new Map<string, string>();
    for (const [n, hash] of hashes.entries()) {
      const vector = this.#known.get(hash);
      if (vector) found.set(hash, vector);
      else missing.set(hash, texts[n] as string);
    }
    if (missing.size > 0) {
      const vectors = await this.#embedder.embed([...missing.values()], options);
      const [known] = this.#known.values();
      const isOthers = (vector: Float32Array | undefined): boolean =>
        vector !== undefined && vector.length !== vectors[0]?.length;
      const before = [...found.values()].some(isOthers);
      // All of it: what stayed would be found again, and asked about again without end.
      if (before || isOthers(known)) this.forget();
      if (before) return this.embed(texts, options);
      for (const [n, hash] of [...missing.keys()].entries()) {
        const vector = vectors[n] as Float32Array;
        found.set(hash, vector);
        this.#known.set(hash, vector);
      }
    }
    return hashes.map((hash) => found.get(hash) as Float32Array);
  }
}
