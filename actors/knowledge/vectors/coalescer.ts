/**
 * Items that arrive one by one are worked on together: a batch takes what waits while others are under way, and nobody
 * waits when nothing is.
 */
export class Coalescer<T, R> {
  readonly #work: (items: readonly T[]) => Promise<readonly R[]>;
  readonly #most: () => number;
  readonly #concurrent: number;
  readonly #waiting: { item: T; resolve: (result: R) => void; reject: (error: unknown) => void }[] = [];
  #running = 0;

  /** @param options.most items of a batch, asked before each @param work gives one result an item, in their order */
  constructor(
    options: { readonly most: () => number; readonly concurrent: number },
    work: (items: readonly T[]) => Promise<readonly R[]>,
  ) {
    this.#work = work;
    this.#most = options.most;
    this.#concurrent = options.concurrent;
  }

  /** @throws what the batch throws */
  add(item: T): Promise<R> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      // Whoever adds several in a row finds them in one batch.
      queueMicrotask(() => void this.#pump());
    });
  }

  async #pump(): Promise<void> {
    if (this.#running >= this.#concurrent || this.#waiting.length === 0) return;
    const batch = this.#waiting.splice(0, this.#most());
    this.#running++;
    try {
      const results = await this.#work(batch.map(({ item }) => item));
      for (const [n, { resolve }] of batch.entries()) resolve(results[n] as R);
    } catch (error) {
      for (const { reject } of batch) reject(error);
    } finally {
      this.#running--;
      void this.#pump();
    }
  }
}
