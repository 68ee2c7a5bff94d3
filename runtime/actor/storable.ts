/**
 * What a state and a message may hold: what comes back from the store as it was. All else would be something else after a
 * restart and for whoever reads it, while a test in memory sees nothing of it.
 */
import { LIMITS } from "#contracts/limits.ts";

/** Of objects and arrays in one another: a message's reader counts the message itself too. */
const DEEPEST = LIMITS.codecDepth - 2;

/** What is wrong, and where below the value that was looked at. */
interface Wrong {
  readonly at: string;
  readonly why: string;
}

/** @returns where a state holds what cannot be stored, and what to do instead; undefined where all is well */
export function unstorable(state: unknown): string | undefined {
  const wrong = wrongIn(state, true);
  return wrong && `state${wrong.at} ${wrong.why}`;
}

/** @throws Error where a body holds what no message can carry: messages are read by anyone, and know no dates */
export function assertSendable(body: unknown): void {
  const wrong = wrongIn(body, false);
  if (wrong) throw new Error(`a message that cannot be sent: body${wrong.at} ${wrong.why}`);
}

/** Where something is wrong is put together on the way back: all of a state is looked at with each message. */
function wrongIn(value: unknown, dates: boolean, depth = 0): Wrong | undefined {
  switch (typeof value) {
    case "bigint":
      return here("is a bigint: make it a string");
    case "function":
    case "symbol":
      return here(`is a ${typeof value}`);
    case "object":
      break;
    default:
      return undefined;
  }
  if (value === null || value instanceof Uint8Array) return undefined;
  if (value instanceof Date) return dates ? undefined : here("is a Date: send ms since the epoch");
  if (depth >= DEEPEST) return here(`is nested more than ${DEEPEST} deep`);
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) {
      const each: unknown = value[index];
      const wrong =
        each === undefined
          ? here("is undefined inside an array, and would be null")
          : wrongIn(each, dates, depth + 1);
      if (wrong) return below(index, wrong);
    }
    return undefined;
  }
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null)
    return here(`is a ${value.constructor.name}: use plain objects and arrays`);
  for (const key of Object.keys(value)) {
    const wrong = wrongIn((value as Record<string, unknown>)[key], dates, depth + 1);
    if (wrong) return below(key, wrong);
  }
  return undefined;
}

const here = (why: string): Wrong => ({ at: "", why });
const below = (key: string | number, { at, why }: Wrong): Wrong => ({ at: `.${key}${at}`, why });
