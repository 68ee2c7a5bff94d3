/**
 * A rolling summary: what the older turns come to, for prompts that no longer hold them. A deferred job of the
 * conversation's own tier writes it before those turns are dropped, one at a time; where it fails they are dropped as
 * they would be without it.
 */
import { type ChatMessage, JOB_VERSION, type Job, type JobResult } from "#contracts/job.ts";
import { LIMITS } from "#contracts/limits.ts";
import { inferSubject } from "#contracts/subjects.ts";
import type { SystemActor } from "#runtime/actor/define.ts";
import { bytesOf, type ConversationState, type PastTurn } from "./turn.ts";

type ConversationActor = SystemActor<ConversationState>;

/** The pool that may summarise conversations of a tier; undefined: none, they go without. */
export type SummaryPool = (tier: string | undefined) => string | undefined;

/** How long a summary is waited for before another may be asked for. */
const PATIENCE_MS = 300_000;
/** Far more than is asked for: the thoughts of a model that thinks first count too, and left no room for a word. */
const MAX_OUTPUT_TOKENS = 2_000;
const MAX_CHARS = 4_000;
/** Of the bounds of the history: from here on its older half is summarised. */
const FULL = 0.75;
const INSTRUCTIONS =
  "Summarise this conversation between a user and an assistant for the assistant that goes on with it. " +
  "Keep names, numbers, dates, decisions, wishes and open questions; leave out greetings. " +
  "Write at most 200 words, in the language of the conversation, and nothing else.";

/** The turns that a prompt shows in full: those that the summary does not stand for. */
export const afterSummary = ({ history, summary }: ConversationState): readonly PastTurn[] =>
  summary ? history.filter(({ turn }) => turn > summary.upTo) : history;

/** Asks for a summary where the history is nearly full and none is under way. */
export function askForSummary(actor: ConversationActor, poolOf: SummaryPool): void {
  const { state, tenant, key: session, now } = actor;
  if (state.summing && state.summing.untilAt > now) return;
  const turns = afterSummary(state);
  const bytes = turns.reduce((sum, turn) => sum + bytesOf(turn), 0);
  if (turns.length < FULL * LIMITS.historyTurns && bytes < FULL * LIMITS.historyBytes) return;
  const older = turns.slice(0, Math.ceil(turns.length / 2));
  const pool = poolOf(state.tier);
  if (pool === undefined || older.length < 2) return;
  const untilAt = now + PATIENCE_MS;
  const job = actor.append(
    inferSubject({ pool, cls: "deferred", lane: 0, tenant, session }),
    (id): Job => ({
      v: JOB_VERSION,
      id,
      tenant,
      session,
      turn: state.turn,
      step: 0,
      pool,
      model: null,
      cls: "deferred",
      lane: 0,
      at: now,
      deadline: untilAt,
      messages: messagesOf(state, older),
      question: "",
      locale: state.locale ?? "en",
      passages: [],
      maxOutputTokens: MAX_OUTPUT_TOKENS,
      temperature: 0,
      // Nobody watches it: nothing of it goes to the session's stream.
      stream: false,
      trace: actor.trace ?? null,
    }),
  );
  actor.state = { ...state, summing: { job, upTo: (older.at(-1) as PastTurn).turn, untilAt } };
}

function messagesOf({ summary }: ConversationState, turns: readonly PastTurn[]): ChatMessage[] {
  const said = turns.flatMap(({ messages, reply }) => [
    ...messages.map(({ text }) => `User: ${text}`),
    ...(reply ? [`Assistant: ${reply}`] : []),
  ]);
  const before = summary ? [`Summary of what was said before:\n${summary.text}`] : [];
  return [
    { role: "system", content: INSTRUCTIONS },
    { role: "user", content: [...before, said.join("\n")].join("\n\n") },
  ];
}

/** Keeps a summary that came; false for a result that is no summary. */
export function keepSummary(actor: ConversationActor, { job, finish, text }: JobResult): boolean {
  const { summing, ...state } = actor.state;
  if (summing?.job !== job) return false;
  const whole = finish === "stop" && text.trim() !== "";
  actor.state = whole
    ? { ...state, summary: { text: text.trim().slice(0, MAX_CHARS), upTo: summing.upTo } }
    : // Not at once again: a model that fails would be asked with every turn.
      { ...state, summing: { ...summing, job: "" } };
  return true;
}
