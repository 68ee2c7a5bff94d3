/** From the text of one server-sent event to a StreamEvent. What does not parse is of a newer gateway: skipped. */
import type { Answer, StreamEvent } from "#contracts/turn.ts";

const TYPES: readonly string[] = [
  "turn",
  "delta",
  "restart",
  "done",
  "error",
] satisfies StreamEvent["type"][];

type Fields = Readonly<Record<string, unknown>>;

export function parseEvent(type: string | undefined, data: string): StreamEvent | undefined {
  if (!type || !TYPES.includes(type)) return undefined;
  const fields = parseObject(data);
  // An error that names no turn is about the stream; the stream ends after it and is opened again.
  if (!fields || typeof fields.turn !== "number") return undefined;
  return {
    type: type as StreamEvent["type"],
    turn: fields.turn,
    attempt: typeof fields.attempt === "number" ? fields.attempt : 0,
    number: typeof fields.number === "number" ? fields.number : 0,
    text: typeof fields.text === "string" ? fields.text : undefined,
    messages: Array.isArray(fields.messages)
      ? fields.messages.filter((id) => typeof id === "string")
      : undefined,
    answer: answerOf(fields),
  };
}

/** The gateway spreads the answer's fields over the event; a client of the library finds them under `answer`. */
function answerOf(fields: Fields): Answer | undefined {
  const answer = isFields(fields.answer) ? fields.answer : fields;
  if (typeof answer.reply !== "string" || !Array.isArray(answer.citations)) return undefined;
  return answer as unknown as Answer;
}

function parseObject(data: string): Fields | undefined {
  try {
    const value: unknown = JSON.parse(data);
    return isFields(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
