/**
 * One request at a provider as undici's dispatcher tells of it. Its `request` wraps every body in a stream of Node, whose
 * pieces take two turns of the tick queue each to where they are read; here whoever reads is called with each.
 */
import type { Dispatcher } from "undici";

export interface Head {
  readonly statusCode: number;
  readonly headers: Parameters<NonNullable<Dispatcher.DispatchHandler["onResponseStart"]>>[2];
}

/** What is done with a piece of a body; false ends the request, as what it throws does. */
export type Sink = (piece: Uint8Array) => boolean | undefined;

/** Bytes that wait to be read before the server is told to wait too. */
const HELD_BYTES = 1_048_576;

/** A body is read once: called back with each piece, or piece by piece as the reader can, which is then waited for. */
export class Exchange implements Dispatcher.DispatchHandler, AsyncIterable<Uint8Array> {
  /** Rejects with the signal's reason, or with why no answer came. */
  readonly head: Promise<Head>;
  readonly #signal: AbortSignal;
  #settle: { resolve(head: Head): void; reject(error: unknown): void } = { resolve() {}, reject() {} };
  #controller: Dispatcher.DispatchController | undefined;
  #pieces: Uint8Array[] = [];
  #heldBytes = 0;
  #over = false;
  #failure: { readonly error: unknown } | undefined;
  #wake: () => void = () => {};
  #reader: { readonly sink: Sink; resolve(): void; reject(error: unknown): void } | undefined;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    this.head = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    if (signal.aborted) this.#onAbort();
    else signal.addEventListener("abort", this.#onAbort, { once: true });
  }

  readonly #onAbort = (): void => {
    const reason: unknown = this.#signal.reason;
    this.#fail(reason);
    this.#controller?.abort(reason as Error);
  };

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#over) controller.abort(this.#failure?.error as Error);
  }

  onResponseStart(_: Dispatcher.DispatchController, statusCode: number, headers: Head["headers"]): void {
    // What comes before the answer, such as early hints, says nothing to us.
    if (statusCode >= 200) this.#settle.resolve({ statusCode, headers });
  }

  onResponseData(controller: Dispatcher.DispatchController, piece: Uint8Array): void {
    if (this.#reader) return this.#give(piece);
    this.#pieces.push(piece);
    this.#heldBytes += piece.length;
    if (this.#heldBytes > HELD_BYTES) controller.pause();
    this.#wake();
  }

  onResponseEnd(): void {
    this.#end();
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    this.#fail(error);
  }

  /**
   * Hands the body over, once: what is there now, and the rest in the moment in which it comes. Resolves at its end.
   * @throws the signal's reason, why the body is not whole, what the sink throws
   */
  read(sink: Sink): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#reader = { sink, resolve, reject };
      const pieces = this.#pieces;
      this.#pieces = [];
      for (const piece of pieces) this.#give(piece);
      if (this.#over) this.#tell();
      else if (this.#controller?.paused) this.#controller.resume();
    });
  }

  /** Who leaves early ends the request. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void> {
    try {
      for (;;) {
        const pieces = this.#pieces;
        this.#pieces = [];
        yield* pieces;
        this.#heldBytes -= pieces.reduce((sum, { length }) => sum + length, 0);
        if (this.#pieces.length > 0) continue;
        if (this.#failure) throw this.#failure.error;
        if (this.#over) return;
        if (this.#controller?.paused) this.#controller.resume();
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    } finally {
      this.#leave();
    }
  }

  async text(): Promise<string> {
    const pieces: Uint8Array[] = [];
    await this.read((piece) => pieces.push(piece) > 0);
    return new TextDecoder().decode(Buffer.concat(pieces));
  }

  #give(piece: Uint8Array): void {
    const reader = this.#reader;
    if (!reader) return;
    try {
      if (reader.sink(piece) !== false) return;
      reader.resolve();
    } catch (error) {
      reader.reject(error);
    }
    this.#reader = undefined;
    this.#leave();
  }

  #leave(): void {
    if (this.#over) return;
    this.#end();
    // Not from inside of undici's parser, which may be who calls.
    queueMicrotask(() => this.#controller?.abort(new Error("the answer is not read to its end")));
  }

  #fail(error: unknown): void {
    if (this.#over) return;
    this.#failure = { error };
    this.#settle.reject(error);
    this.#end();
  }

  #end(): void {
    this.#over = true;
    this.#signal.removeEventListener("abort", this.#onAbort);
    this.#wake();
    this.#tell();
  }

  #tell(): void {
    if (this.#failure) this.#reader?.reject(this.#failure.error);
    else this.#reader?.resolve();
  }
}
