/** What is of a KNOWLEDGE that was restored or made anew since: of changes that it does not hold any more. */
import { KNOWLEDGE, knowledgeSubject } from "#contracts/subjects.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { lastMessage } from "#runtime/nats/reader.ts";
import type { DocumentAddress } from "./vector-index.ts";

/**
 * False for what is of a change that is newer than the one at hand, which then need not be looked at; true for what has a
 * higher number alone. @throws JetclawError `nats.unavailable`
 */
export async function isFormer(
  bus: Bus,
  { tenant, collection, document, revision }: DocumentAddress & { readonly revision: number },
): Promise<boolean> {
  const last = await lastMessage(bus, KNOWLEDGE, knowledgeSubject(tenant, collection, document));
  return (last?.seq ?? 0) < revision;
}
