/** Each request's share of what a whole batch used. Shares are whole tokens and add up to exactly what was billed. */
import { addUsage, NO_USAGE, type Usage } from "#contracts/usage.ts";

/** In proportion to the estimates; the remainder goes to those with the largest fractions. */
export function shareUsage(total: Usage, estimates: readonly Usage[]): Usage[] {
  const input = shares(
    total.inputTokens,
    estimates.map(({ inputTokens }) => inputTokens),
  );
  const output = shares(
    total.outputTokens,
    estimates.map(({ outputTokens }) => outputTokens),
  );
  const cached = total.cachedInputTokens === undefined ? undefined : shares(total.cachedInputTokens, input);
  return estimates.map((_, n) => ({
    inputTokens: input[n] ?? 0,
    outputTokens: output[n] ?? 0,
    ...(cached ? { cachedInputTokens: cached[n] ?? 0 } : {}),
  }));
}

/** What remains of a total once some shares are known exactly. */
export function remainderOf(total: Usage, known: readonly Usage[]): Usage {
  const sum = known.reduce((a, b) => addUsage(a, b), NO_USAGE);
  const inputTokens = Math.max(0, total.inputTokens - sum.inputTokens);
  const outputTokens = Math.max(0, total.outputTokens - sum.outputTokens);
  if (total.cachedInputTokens === undefined) return { inputTokens, outputTokens };
  const cached = Math.max(0, total.cachedInputTokens - (sum.cachedInputTokens ?? 0));
  return { inputTokens, outputTokens, cachedInputTokens: Math.min(cached, inputTokens) };
}

function shares(total: number, weights: readonly number[]): number[] {
  const sum = weights.reduce((a, b) => a + b, 0);
  const exact = weights.map((weight) => (sum > 0 ? (total * weight) / sum : total / weights.length));
  const whole = exact.map(Math.floor);
  const left = total - whole.reduce((a, b) => a + b, 0);
  const byFraction = exact
    .map((value, n) => [value % 1, n] as const)
    .sort((a, b) => b[0] - a[0] || a[1] - b[1]);
  for (const [, n] of byFraction.slice(0, Math.max(0, left))) whole[n] = (whole[n] ?? 0) + 1;
  return whole;
}
