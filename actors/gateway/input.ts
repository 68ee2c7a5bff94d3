/** What requests are checked with before anything is done for them: ids, nesting, preferences. */
import { z } from "zod";
import { JetclawError } from "#contracts/errors.ts";
import { isId } from "#contracts/ids.ts";
import { LIMITS } from "#contracts/limits.ts";

/** Marks a validation issue as a bad id, so that its problem is `request.id`. */
export const ID_RULE = "1 to 256 characters without white space or control characters";

// Not `z.custom`: a refined string can be described in OpenAPI.
export const idSchema = z
  .string()
  .refine(isId, ID_RULE)
  .meta({ description: `An id: ${ID_RULE}.`, maxLength: LIMITS.idChars });

export const sessionParams = z.object({ session: idSchema });

/** True when brackets outside of strings nest deeper than `most`. One pass, no recursion, no allocation. */
export function nestsDeeper(json: string, most: number): boolean {
  let depth = 0;
  let inString = false;
  for (let i = 0; i < json.length; i++) {
    const c = json.charCodeAt(i);
    if (inString) {
      if (c === 0x5c) i++;
      else if (c === 0x22) inString = false;
    } else if (c === 0x22) inString = true;
    else if (c === 0x5b || c === 0x7b) {
      if (++depth > most) return true;
    } else if (c === 0x5d || c === 0x7d) depth--;
  }
  return false;
}

/** Source: RFC 7240. Unknown preferences are ignored, as it asks. */
export function parsePrefer(header: string | undefined): {
  respondAsync: boolean;
  waitMs: number | undefined;
} {
  let respondAsync = false;
  let waitMs: number | undefined;
  for (const preference of (header ?? "").split(/[,;]/)) {
    const wait = /^\s*wait\s*=\s*"?(\d{1,6})"?\s*$/i.exec(preference);
    if (wait) waitMs = Number(wait[1]) * 1_000;
    else if (preference.trim().toLowerCase() === "respond-async") respondAsync = true;
  }
  return { respondAsync, waitMs };
}

export const wantsEventStream = (accept: string | undefined): boolean =>
  /(^|,)\s*text\/event-stream\s*(;|,|$)/i.test(accept ?? "");

/** An optional id from a header. @throws JetclawError `request.id` */
export function idFromHeader(name: string, value: string | string[] | undefined): string | undefined {
  if (value === undefined) return undefined;
  if (!isId(value)) throw new JetclawError("request.id", `${name}: ${ID_RULE}`);
  return value;
}
