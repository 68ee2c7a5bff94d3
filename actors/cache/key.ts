/** What makes two requests the same request: the key of an entry, and the keys by which a document finds its entries. */
import { createHash } from "node:crypto";
import { tokenOf } from "#contracts/ids.ts";
import type { CacheQuery } from "./port.ts";

/** A document at a revision on which an answer rests. */
export interface Dependency {
  readonly collection: string;
  readonly document: string;
  readonly revision: number;
}

/** The question without what carries no meaning: letter case, spacing, punctuation at its end. */
export function normaliseQuestion(question: string): string {
  const plain = question.normalize("NFKC").toLowerCase().replace(/\s+/gu, " ").trim();
  const bare = plain.replace(/[\s.,;:!?\u2026\u3002\uff01\uff1f]+$/u, "");
  return bare === "" ? plain : bare;
}

/** Base64url of the SHA-256 over everything that an answer may depend on. */
export function fingerprintOf(query: CacheQuery): string {
  const { tenant, assistant, assistantVersion, tier, locale, history } = query;
  const passages = query.passages.map(({ collection, document, revision }) => [
    collection,
    document,
    revision,
  ]);
  // JSON of a list, so that no two lists of parts can join to the same text.
  const request = [
    1,
    tenant,
    assistant,
    assistantVersion,
    tier,
    locale,
    normaliseQuestion(query.question),
    history,
    passages,
  ];
  return createHash("sha256").update(JSON.stringify(request), "utf8").digest("base64url");
}

export const entryKey = (tenant: string, fingerprint: string): string =>
  `a.${tokenOf(tenant)}.${fingerprint}`;

/** Says that the entry of the fingerprint rests on the document. */
export const dependencyKey = (
  tenant: string,
  on: Omit<Dependency, "revision">,
  fingerprint: string,
): string => `d.${tokenOf(tenant)}.${tokenOf(on.collection)}.${tokenOf(on.document)}.${fingerprint}`;

export const dependencyFilter = (tenant: string, collection: string, document: string): string =>
  dependencyKey(tenant, { collection, document }, "*");

/** The fingerprint at the end of a dependency key. */
export const fingerprintOfKey = (key: string): string => key.slice(key.lastIndexOf(".") + 1);
