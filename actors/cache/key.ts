/** What makes two requests the same request, and the keys under which KV `cache` holds what belongs to an answer. */
import { createHash } from "node:crypto";
import { tokenOf } from "#contracts/ids.ts";
import type { CacheQuery } from "./port.ts";
import { withCountry } from "./semantic/words.ts";

/** A document at a revision on which an answer rests. */
export interface Dependency {
  readonly collection: string;
  readonly document: string;
  readonly revision: number;
  /**
   * When the store took the revision, ms since the epoch: what tells it from the one that has its number after KNOWLEDGE was
   * restored.
   */
  readonly storedAt?: number | undefined;
}

const ENDINGS = new Set(" .,;:!?\u2026\u3002\uff01\uff1f");

/** The question without what carries no meaning: letter case (but of the US), spacing, punctuation at its end. */
export function normaliseQuestion(question: string): string {
  const plain = withCountry(question.normalize("NFKC")).toLowerCase().replace(/\s+/gu, " ").trim();
  let end = plain.length;
  while (end > 0 && ENDINGS.has(plain[end - 1] as string)) end--;
  return end === 0 ? plain : plain.slice(0, end);
}

const digest = (parts: readonly unknown[]): string =>
  createHash("sha256").update(JSON.stringify(parts), "utf8").digest("base64url");

/** Base64url of the SHA-256 over everything that an answer may depend on; the id of its entry. */
export function fingerprintOf(query: CacheQuery): string {
  const { tenant, assistant, assistantVersion, tier, locale } = query;
  const context = query.passages.map(({ collection, document, revision, storedAt }) => [
    collection,
    document,
    revision,
    storedAt,
  ]);
  // JSON of a list, so that no two lists of parts can join to the same text.
  return digest([
    3,
    tenant,
    assistant,
    assistantVersion,
    tier,
    locale,
    normaliseQuestion(query.question),
    context,
  ]);
}

/** A session as entries name it: enough to find what it contributed, not to tell whose it was. */
export const originOf = (tenant: string, session: string): string =>
  digest(["session", tenant, session]).slice(0, 22);

/** The answer itself. */
export const entryKey = (tenant: string, fingerprint: string): string =>
  `a.${tokenOf(tenant)}.${fingerprint}`;

/** Says that the entry of the fingerprint rests on the document. */
export const dependencyKey = (
  tenant: string,
  on: Pick<Dependency, "collection" | "document">,
  fingerprint: string,
): string => `d.${tokenOf(tenant)}.${tokenOf(on.collection)}.${tokenOf(on.document)}.${fingerprint}`;

export const dependencyFilter = (tenant: string, collection: string, document: string): string =>
  dependencyKey(tenant, { collection, document }, "*");

/** Says that the session caused the entry. */
export const originKey = (tenant: string, origin: string, fingerprint: string): string =>
  `o.${tokenOf(tenant)}.${origin}.${fingerprint}`;

/** Says that the entry was removed: every host drops it, whatever it still holds. */
export const removalKey = (tenant: string, fingerprint: string): string =>
  `r.${tokenOf(tenant)}.${fingerprint}`;

/** Says that an operator removed an answer: the same words again are the same answer. */
export const banKey = (tenant: string, reply: string): string =>
  `b.${tokenOf(tenant)}.${digest(["reply", reply]).slice(0, 22)}`;

/** Says that the session was erased: what it still causes is not kept, whichever host it comes to. */
export const erasureKey = (tenant: string, origin: string): string => `e.${tokenOf(tenant)}.${origin}`;

/** Somebody is asking a model for the answer. */
export const flightKey = (tenant: string, fingerprint: string): string =>
  `f.${tokenOf(tenant)}.${fingerprint}`;

/** The fingerprint at the end of a key. */
export const fingerprintOfKey = (key: string): string => key.slice(key.lastIndexOf(".") + 1);
