/**
 * Reading the transcript out of turn: what fails is tried again for as long as it is needed, by one timer however many
 * ask. Without that each moment of silence in an outage would begin tries of its own, and none of them would end.
 */
const AGAIN_MS = 3_000;

/** @returns what reads now */
export function refresher(read: () => Promise<unknown>, isNeeded: () => boolean): () => Promise<void> {
  let again: ReturnType<typeof setTimeout> | undefined;
  return async function refresh(): Promise<void> {
    clearTimeout(again);
    try {
      await read();
    } catch {
      // A lost connection reads the transcript itself when it returns; here a single request may have failed.
      clearTimeout(again);
      if (isNeeded()) again = setTimeout(() => void refresh(), AGAIN_MS);
    }
  };
}
