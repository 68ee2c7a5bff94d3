/** What the last requests to a model were like: medians and rates over a bounded memory. */

export interface Sample {
  /** When it ended. */
  readonly at: number;
  /** For the model's fault. */
  readonly failed: boolean;
  /** 0: none came, or a whole answer was asked for. */
  readonly firstTokenMs: number;
  readonly totalMs: number;
  readonly outputTokens: number;
}

export interface Figures {
  readonly firstTokenMs: number;
  readonly totalMs: number;
  readonly tokensPerSecond: number;
  readonly requestsPerSecond: number;
  readonly errorShare: number;
}

/** Medians and shares are over so many requests, */
const SAMPLES = 64;
/** but none older than this; a model that was slow a while ago may be fast now. */
const SAMPLE_AGE_MS = 60_000;
/** Rates are over this long, in slices. */
const RATE_MS = 10_000;
const SLICE_MS = 1_000;

interface Slice {
  at: number;
  requests: number;
  tokens: number;
}

export class Stats {
  #samples: Sample[] = [];
  #slices: Slice[] = [];

  add(sample: Sample): void {
    this.#samples.push(sample);
    if (this.#samples.length > SAMPLES) this.#samples.shift();
    const at = Math.floor(sample.at / SLICE_MS) * SLICE_MS;
    let slice = this.#slices.at(-1);
    if (slice?.at !== at) {
      slice = { at, requests: 0, tokens: 0 };
      this.#slices.push(slice);
      if (this.#slices.length > RATE_MS / SLICE_MS) this.#slices.shift();
    }
    slice.requests++;
    slice.tokens += sample.outputTokens;
  }

  figures(now: number): Figures {
    this.#samples = this.#samples.filter(({ at }) => at > now - SAMPLE_AGE_MS);
    this.#slices = this.#slices.filter(({ at }) => at > now - RATE_MS - SLICE_MS);
    const answered = this.#samples.filter(({ failed }) => !failed);
    const [first] = this.#slices;
    // A worker that began a moment ago has no ten seconds to divide by.
    const seconds = first ? Math.max(SLICE_MS, Math.min(RATE_MS, now - first.at)) / 1_000 : 1;
    const perSecond = (of: (slice: Slice) => number): number =>
      this.#slices.reduce((sum, slice) => sum + of(slice), 0) / seconds;
    return {
      firstTokenMs: median(answered.map((s) => s.firstTokenMs).filter((ms) => ms > 0)),
      totalMs: median(answered.map((s) => s.totalMs)),
      tokensPerSecond: perSecond((s) => s.tokens),
      requestsPerSecond: perSecond((s) => s.requests),
      errorShare: this.#samples.length === 0 ? 0 : 1 - answered.length / this.#samples.length,
    };
  }

  /** What the quickest answer took of those that were asked for whole; 0 where there was none. */
  leastWholeMs(now: number): number {
    const whole = this.#samples.filter(
      ({ at, failed, firstTokenMs }) => at > now - SAMPLE_AGE_MS && !failed && firstTokenMs === 0,
    );
    return whole.reduce((least, { totalMs }) => Math.min(least || totalMs, totalMs), 0);
  }
}

function median(values: number[]): number {
  values.sort((a, b) => a - b);
  return values[Math.floor(values.length / 2)] ?? 0;
}
