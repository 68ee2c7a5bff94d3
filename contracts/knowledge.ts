/** A document of a knowledge base and the event of its change. The revision is its sequence in KNOWLEDGE. */
import { z } from "zod";
import { LIMITS } from "./limits.ts";

export const documentInputSchema = z.object({
  title: z.string().min(1).max(512),
  text: z.string().min(1).max(LIMITS.documentTextChars),
  url: z.url().max(2_048).optional(),
  /** BCP 47, `en` or `nl-BE`; undefined: recognised from the text. */
  locale: z.string().max(35).optional(),
  tags: z.array(z.string().max(64)).max(32).optional(),
});
export type DocumentInput = z.infer<typeof documentInputSchema>;

/** What KNOWLEDGE holds, last a subject: a document, or its deletion. */
export interface KnowledgeEvent {
  readonly v: 1;
  readonly tenant: string;
  readonly collection: string;
  readonly document: string;
  readonly deleted: boolean;
  readonly title: string;
  readonly text: string;
  readonly url?: string | undefined;
  readonly locale?: string | undefined;
  readonly tags?: readonly string[] | undefined;
  readonly at: number;
}

export interface KnowledgeDocument extends DocumentInput {
  readonly collection: string;
  readonly document: string;
  readonly revision: number;
  readonly at: number;
}
