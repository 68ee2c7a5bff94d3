/** What a look-up costs in a full cache: the traffic's own questions, mixed into others until it holds enough. */
import type { Question, SemanticCache, SemanticEntry } from "#actors/cache/semantic/port.ts";
import type { LabelledRequest } from "./cache-traffic.ts";
import { quantile, randomFrom, round } from "./shape.ts";

const LOOKUPS = 2_000;
/** Each question is asked so often: the least of its times is free of what else the machine did. */
const ROUNDS = 3;
/** How far a made vector lies from the one it is made of. */
const SPREAD = 0.08;

export function lookupFigures(
  cache: SemanticCache,
  traffic: readonly LabelledRequest[],
  vectorOf: (text: string) => Float32Array | undefined,
  entries: number,
  seed: number,
): Record<string, number> {
  const random = randomFrom(seed + 1);
  const drawn = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const known = [...cache.entries()];
  const [first] = known;
  if (!first) return {};
  const before = process.memoryUsage();
  let fillMs = 0;
  const texts = traffic.map(({ text }) => text);
  for (let n = cache.size; n < entries; n++) {
    const [left, right] = [drawn(known), drawn(known)];
    const vector = left.vector && between(left.vector, right.vector ?? left.vector, random);
    const entry: SemanticEntry = {
      ...left,
      id: `made-${n}`,
      text: mixed(left.text, right.text, random),
      vector,
      trial: undefined,
    };
    const from = performance.now();
    cache.add(entry);
    fillMs += performance.now() - from;
  }
  const after = process.memoryUsage();
  const questions = Array.from({ length: LOOKUPS }, (): Question => {
    // Words that the cache has not seen in this order: no look-up finds itself.
    const [text, other] = [drawn(texts), drawn(texts)];
    return { scope: first.scope, text: mixed(text, other, random), vector: vectorOf(text) };
  });
  const cpu = process.cpuUsage();
  const rounds = Array.from({ length: ROUNDS }, () => questions.map((question) => timed(cache, question)));
  const { user, system } = process.cpuUsage(cpu);
  const all = rounds.flat();
  const least = questions.map((_, n) => Math.min(...rounds.map((times) => times[n] as number)));
  return {
    entriesHeld: cache.size,
    fillSeconds: round(fillMs / 1_000, 1),
    fullLookupP50Ms: round(quantile(all, 0.5)),
    fullLookupP99Ms: round(quantile(all, 0.99)),
    fullLookupLeastP99Ms: round(quantile(least, 0.99)),
    fullLookupCpuMs: round((user + system) / 1_000 / all.length, 2),
    // What typed arrays hold is outside of the heap.
    fullMemoryMb: round((after.rss - before.rss) / 2 ** 20, 0),
  };
}

function timed(cache: SemanticCache, question: Question): number {
  const from = performance.now();
  cache.lookup(question);
  return performance.now() - from;
}

/** The beginning of one text and the end of another. */
function mixed(one: string, other: string, random: () => number): string {
  const [left, right] = [one.split(/\s+/), other.split(/\s+/)];
  const cut = 1 + Math.floor(random() * left.length);
  return [...left.slice(0, cut), ...right.slice(-Math.ceil(right.length / 2))].join(" ");
}

function between(one: Float32Array, other: Float32Array, random: () => number): Float32Array {
  const share = random();
  const vector = one.map((x, n) => x * (1 - share) + (other[n] ?? 0) * share + (random() - 0.5) * SPREAD);
  const length = Math.sqrt(vector.reduce((sum, x) => sum + x * x, 0));
  return vector.map((x) => x / length);
}
