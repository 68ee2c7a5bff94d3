// A retrieving process that a test can freeze. Speaks over IPC: { id, question } in, { id, revisions, fresh } out.
import type { Passage } from "#contracts/job.ts";
import { startReader } from "./knowledge.ts";

export interface ReaderQuestion {
  readonly id: number;
  readonly tenant: string;
  readonly collection: string;
  /** Null asks for nothing but whether it is fresh. */
  readonly question: string | null;
}
export interface ReaderAnswer {
  readonly id: number;
  readonly passages: readonly Passage[];
  /** As it was before and after retrieval. */
  readonly freshBefore: boolean;
  readonly freshAfter: boolean;
}

const reader = await startReader(process.argv[2] as string, "frozen-one");
process.on("message", async ({ id, tenant, collection, question }: ReaderQuestion) => {
  const freshBefore = reader.retriever.fresh();
  const asked = { tenant, collections: [collection], limit: 3 };
  const passages = question === null ? [] : await reader.retriever.retrieve({ ...asked, question });
  const answer: ReaderAnswer = { id, passages, freshBefore, freshAfter: reader.retriever.fresh() };
  process.send?.(answer);
});
process.on("disconnect", () => process.exit(0));
process.send?.("ready");
