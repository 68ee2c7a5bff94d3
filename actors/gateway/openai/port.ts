/** What the OpenAI-compatible routes ask of the deployment. */
import type { ChatRequest, ReplyEvent } from "#contracts/chat.ts";
import type { TraceContext } from "#contracts/envelope.ts";
import type { ChatMessage } from "#contracts/job.ts";
import type { PriorityClass } from "#contracts/subjects.ts";

export interface CompletionAsk {
  readonly tenant: string;
  /** A model, a pool, or `auto`. */
  readonly model: string;
  readonly cls: PriorityClass;
  readonly messages: ChatMessage[];
  readonly question: string;
  readonly chat: ChatRequest;
  readonly maxOutputTokens: number | undefined;
  readonly temperature: number | undefined;
  readonly stream: boolean;
  /** Absolute, ms since the epoch. */
  readonly deadline: number;
  readonly trace?: TraceContext | undefined;
}

export interface ModelEntry {
  readonly id: string;
  readonly ownedBy: string;
}

export interface RunningCompletion {
  readonly id: string;
  /** Resolves when the job is stored; what is heard may come first. @throws JetclawError `nats.unavailable` */
  readonly stored: Promise<void>;
  /** Nothing is heard any more. Call it when the result is there, or to turn away. */
  close(): void;
  /** Ends the job wherever it is: in the queue, or at a provider. Never rejects. */
  cancel(): Promise<void>;
}

export interface Completions {
  /** `auto`, pools and models, in the order of the configuration. */
  readonly models: readonly ModelEntry[];
  /**
   * Stores one job and says what is heard of it, from before it is stored until `close`.
   * @throws OpenAiRefusal for an unknown model; JetclawError `load.refused`
   */
  begin(ask: CompletionAsk, onEvent: (event: ReplyEvent) => void): RunningCompletion;
}
