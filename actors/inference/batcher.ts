/**
 * Which waiting requests go to the model together, and when. Pure: whoever calls holds the queue, the timer and the
 * clock, and asks again whenever a request comes, a batch ends, or the time that was named has come.
 */

export interface Waiting {
  /** When it came, ms since the epoch. */
  readonly arrivedAt: number;
  /** Estimate of its input. */
  readonly tokens: number;
  /** Absolute, ms since the epoch. */
  readonly deadline: number;
  /** Only requests of one group fit into one batch: the providers' batch calls share their sampling options. */
  readonly group: string;
}

export interface BatchLimits {
  readonly maxRequests: number;
  readonly maxTokens: number;
  /** Longest wait for company while another batch runs. */
  readonly maxWaitMs: number;
  /** Batches at the provider at once. */
  readonly maxInFlight: number;
}

export interface Decision<W extends Waiting> {
  /** What leaves now as one batch, most urgent first; empty: nothing does. */
  readonly go: readonly W[];
  /** With nothing to send: when waiting alone makes a batch due. Undefined: only an arrival or an ended batch can. */
  readonly lookAgainAt: number | undefined;
}

/**
 * A request whose deadline is nearer than this overtakes older ones. The others keep the order of their arrival, so
 * that nobody is overtaken for longer than this.
 */
export const URGENT_MS = 5_000;

/**
 * With nothing in flight a batch leaves at once, however small. While one is in flight, requests gather until the batch
 * is full, its eldest has waited long enough, or a deadline leaves no time to wait.
 */
export function nextBatch<W extends Waiting>(
  waiting: readonly W[],
  inFlight: number,
  limits: BatchLimits,
  now: number,
): Decision<W> {
  if (waiting.length === 0 || inFlight >= limits.maxInFlight) return { go: [], lookAgainAt: undefined };
  let lookAgainAt = Number.POSITIVE_INFINITY;
  for (const group of groupsByUrgency(waiting)) {
    const { batch, full } = fill(group, limits);
    const due = full || inFlight === 0 ? now : dueAt(batch, limits.maxWaitMs);
    if (due <= now) return { go: batch, lookAgainAt: undefined };
    lookAgainAt = Math.min(lookAgainAt, due);
  }
  return { go: [], lookAgainAt };
}

export interface Urgency {
  /** That the last one needs. */
  readonly leastMs: number;
  /** That each other needs before it. */
  readonly eachMs: number;
  /** So long before its deadline nobody leaves, however many there are: the batch may still answer them. */
  readonly mostMs: number;
}

/** Who must leave now to be answered one by one in time: a thousand with one deadline cannot all leave right before it. */
export function urgent<W extends Pick<Waiting, "deadline">>(
  waiting: readonly W[],
  { leastMs, eachMs, mostMs }: Urgency,
  now: number,
): W[] {
  const needsMs = (n: number): number => Math.min(leastMs + n * eachMs, Math.max(leastMs, mostMs));
  return waiting
    .filter(({ deadline }) => deadline - now < needsMs(waiting.length))
    .sort((a, b) => a.deadline - b.deadline)
    .filter(({ deadline }, n) => deadline - now < needsMs(n));
}

const rank = ({ deadline, arrivedAt }: Waiting): number => Math.min(deadline, arrivedAt + URGENT_MS);

/** Each group in order of urgency, and the groups in the order of their most urgent request. */
function groupsByUrgency<W extends Waiting>(waiting: readonly W[]): Iterable<readonly W[]> {
  const groups = new Map<string, W[]>();
  for (const each of [...waiting].sort((a, b) => rank(a) - rank(b) || a.arrivedAt - b.arrivedAt)) {
    const group = groups.get(each.group);
    if (group) group.push(each);
    else groups.set(each.group, [each]);
  }
  return groups.values();
}

/**
 * The most urgent request is always part of it, alone where it exceeds the tokens by itself. A later one that does not
 * fit is passed over for smaller ones; it becomes the most urgent in its turn.
 */
function fill<W extends Waiting>(
  group: readonly W[],
  { maxRequests, maxTokens }: BatchLimits,
): { batch: W[]; full: boolean } {
  const batch: W[] = [];
  let tokens = 0;
  let passedOver = false;
  for (const each of group) {
    if (batch.length >= maxRequests) break;
    if (batch.length > 0 && tokens + each.tokens > maxTokens) {
      passedOver = true;
      continue;
    }
    batch.push(each);
    tokens += each.tokens;
  }
  return { batch, full: passedOver || batch.length >= maxRequests || tokens >= maxTokens };
}

function dueAt(batch: readonly Waiting[], maxWaitMs: number): number {
  return batch.reduce(
    (due, { arrivedAt, deadline }) => Math.min(due, arrivedAt + maxWaitMs, deadline - maxWaitMs),
    Number.POSITIVE_INFINITY,
  );
}
