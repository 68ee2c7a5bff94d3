/**
 * What a state and a message may hold: what comes back from the store as it was. All else would be something else after a
 * restart and for whoever reads it, while a test in memory sees nothing of it.
 */
import { LIMITS } from "#contracts/limits.ts";

/** Of objects and arrays in one another: a message's reader counts the message itself too. */
const DEEPEST = LIMITS.codecDepth - 2;

/** @returns where a state holds what cannot be stored, and what to do instead; undefined where all is well */
export const unstorable = (state: unknown): string | undefined => found(state, "state", true);

/** @throws Error where a body holds what no message can carry: messages are read by anyone, and know no dates */
export function assertSendable(body: unknown): void {
  const wrong = found(body, "body", false);
  if (wrong) throw new Error(`a message that cannot be sent: ${wrong}`);
}

function found(value: unknown, path: string, dates: boolean, depth = 0): string | undefined {
  switch (typeof value) {
    case "bigint":
      return `${path} is a bigint: make it a string`;
    case "function":
    case "symbol":
      return `${path} is a ${typeof value}`;
    case "object":
      break;
    default:
      return undefined;
  }
  if (value === null || value instanceof Uint8Array) return undefined;
  if (value instanceof Date) return dates ? undefined : `${path} is a Date: send ms since the epoch`;
  if (depth >= DEEPEST) return `${path} is nested more than ${DEEPEST} deep`;
  const prototype = Object.getPrototypeOf(value);
  if (!Array.isArray(value) && prototype !== Object.prototype && prototype !== null)
    return `${path} is a ${value.constructor.name}: use plain objects and arrays`;
  for (const [key, each] of Object.entries(value)) {
    if (each === undefined && Array.isArray(value))
      return `${path}.${key} is undefined inside an array, and would be null`;
    const wrong = found(each, `${path}.${key}`, dates, depth + 1);
    if (wrong) return wrong;
  }
  return undefined;
}
