/** What a provider's headers say about when to come back. Pure: headers and the time go in, milliseconds come out. */

/** A provider's word about how long to wait is believed up to this. */
const LONGEST_MS = 3_600_000;
const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
/** Each kind of limit has its own pair of headers; providers use some of them. */
const KINDS = ["", "-requests", "-tokens", "-input-tokens", "-output-tokens"];
const PREFIXES = ["x-ratelimit", "anthropic-ratelimit"];

interface HeaderReader {
  get(name: string): string | null;
}

/** `Retry-After` in either form, and `retry-after-ms`; else when the limit that is used up begins anew. */
export function restOf(headers: HeaderReader | undefined, now: number): number | undefined {
  if (!headers) return undefined;
  const ms = headers.get("retry-after-ms");
  if (ms !== null && /^\d+(\.\d+)?$/.test(ms)) return bounded(Number(ms));
  const after = headers.get("retry-after");
  const named = after === null ? undefined : timeOf(after, now);
  return named ?? usedUp(headers, now);
}

/** Undefined while something is left of every limit that the headers name. */
export function usedUp(headers: HeaderReader, now: number): number | undefined {
  let longest: number | undefined;
  for (const prefix of PREFIXES)
    for (const kind of KINDS) {
      const [remaining, reset] =
        prefix === "x-ratelimit"
          ? [`${prefix}-remaining${kind}`, `${prefix}-reset${kind}`]
          : [`${prefix}${kind}-remaining`, `${prefix}${kind}-reset`];
      if (!/^(0+|-\d+)$/.test(headers.get(remaining) ?? "left")) continue;
      const ms = timeOf(headers.get(reset) ?? "", now);
      if (ms !== undefined) longest = Math.max(longest ?? 0, ms);
    }
  return longest;
}

/** `7`, `7.5s`, `1m30s`, `20ms`, seconds or milliseconds since the epoch, or a date. */
export function timeOf(text: string, now: number): number | undefined {
  const value = text.trim();
  if (/^\d{1,20}(\.\d{1,9})?$/.test(value)) {
    const number = Number(value);
    if (number > 1e12) return bounded(number - now);
    return number > 1e9 ? bounded(number * 1_000 - now) : bounded(number * 1_000);
  }
  if (/^(\d{1,9}(\.\d{1,9})?(ms|s|m|h|d)){1,5}$/.test(value)) {
    let sum = 0;
    for (const [, number, unit] of value.matchAll(/([\d.]+)(ms|s|m|h|d)/g))
      sum += Number(number) * UNITS[unit as keyof typeof UNITS];
    return bounded(sum);
  }
  const date = Date.parse(value);
  return /^.{0,30}\d{4}.{0,20}$/.test(value) && Number.isFinite(date) ? bounded(date - now) : undefined;
}

const bounded = (ms: number): number => Math.min(LONGEST_MS, Math.max(0, Math.ceil(ms)));
