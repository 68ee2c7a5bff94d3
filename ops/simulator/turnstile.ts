/** Lets so many requests through at once; the rest wait in the order of their arrival, as behind a busy GPU. */
export class Turnstile {
  #inside = 0;
  readonly #waiting: (() => void)[] = [];

  enter(most: number): Promise<void> | undefined {
    if (this.#inside < most) {
      this.#inside++;
      return undefined;
    }
    return new Promise((resolve) => void this.#waiting.push(resolve));
  }

  /** The place passes to whoever waits longest. */
  leave(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#inside--;
  }
}
