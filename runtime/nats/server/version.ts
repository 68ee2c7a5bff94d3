// Which servers have what is used of JetStream: schedules, lifetimes and batched reads; an older one takes the
// declaration of a stream, leaves out what it does not know, and says nothing.

const OLDEST = [2, 14] as const;

/** As people write it. */
export const OLDEST_VERSION = OLDEST.join(".");

/** What is no version is believed. */
export function isNewEnough(version: string): boolean {
  const [, major, minor] = /^v?(\d+)\.(\d+)/.exec(version) ?? [];
  if (major === undefined) return true;
  return Number(major) > OLDEST[0] || (Number(major) === OLDEST[0] && Number(minor) >= OLDEST[1]);
}
