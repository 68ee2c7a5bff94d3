/**
 * The messages of a request: their shape, their size, and whether texts alone say it all. Nothing is fetched: media
 * stay where they are, and an address that only our network can reach is refused.
 */
import type { ChatMessage } from "#contracts/job.ts";
import { type Fields, fieldsOf, listIn, oneOf, refuse, textIn } from "./check.ts";
import { OpenAiRefusal } from "./errors.ts";
import { assertPublicUrl } from "./media-url.ts";

export const MESSAGES = 4_096;
const PARTS = 256;
const CALLS = 128;
const NAME_CHARS = 256;
const TEXT_CHARS = 1_048_576;
/** No language has longer words, and tokenizers take quadratic time on them. */
export const WORD_CHARS = 65_536;
const ROLES = ["system", "developer", "user", "assistant", "tool"];

export interface CheckedMessages {
  /** As texts, for models that know nothing else. */
  readonly texts: ChatMessage[];
  /** As they were sent; undefined where the texts are the same. */
  readonly exact: unknown[] | undefined;
  /** The last words of the user. */
  readonly question: string;
  /** An answer was given before: a conversation is under way. */
  readonly answered: boolean;
}

export function checkMessages(value: unknown): CheckedMessages {
  if (value === undefined)
    throw new OpenAiRefusal("Missing required parameter: 'messages'.", {
      param: "messages",
      code: "missing_required_parameter",
    });
  const list = listIn(value, "messages", 1, MESSAGES);
  const texts: ChatMessage[] = [];
  let plain = true;
  let answered = false;
  let question = "";
  for (let n = 0; n < list.length; n++) {
    const message = fieldsOf(list[n], `messages[${n}]`);
    const role = oneOf(message.role, `messages[${n}].role`, ROLES);
    const content = contentOf(message, role, `messages[${n}]`);
    answered ||= role === "assistant";
    if (role === "user") question = content;
    plain &&=
      typeof message.content === "string" &&
      role !== "developer" &&
      role !== "tool" &&
      Object.keys(message).length === 2;
    texts.push({ role: role === "developer" ? "system" : (role as ChatMessage["role"]), content });
  }
  return { texts, exact: plain ? undefined : [...list], question, answered };
}

function contentOf(message: Fields, role: string, at: string): string {
  const { content, name, tool_calls: calls, tool_call_id: call } = message;
  if (name !== undefined && name !== null) textIn(name, `${at}.name`, NAME_CHARS);
  if (role === "tool" && textIn(call, `${at}.tool_call_id`, NAME_CHARS) === "")
    refuse(`${at}.tool_call_id`, "it is empty");
  if (calls !== undefined && calls !== null) checkCalls(calls, role, `${at}.tool_calls`);
  if (typeof content === "string") return checkText(content, `${at}.content`);
  if (Array.isArray(content)) return partsOf(content, role, `${at}.content`);
  if ((content === null || content === undefined) && role === "assistant" && calls) return "";
  refuse(`${at}.content`, "it must be a text or a list of parts");
}

function checkCalls(value: unknown, role: string, at: string): void {
  if (role !== "assistant") refuse(at, "only an assistant calls tools");
  for (const [n, each] of listIn(value, at, 1, CALLS).entries()) {
    const call = fieldsOf(each, `${at}[${n}]`);
    textIn(call.id, `${at}[${n}].id`, NAME_CHARS);
    oneOf(call.type, `${at}[${n}].type`, ["function"]);
    const called = fieldsOf(call.function, `${at}[${n}].function`);
    textIn(called.name, `${at}[${n}].function.name`, NAME_CHARS);
    textIn(called.arguments, `${at}[${n}].function.arguments`, TEXT_CHARS);
  }
}

/** The texts of the parts, one a line. */
function partsOf(parts: readonly unknown[], role: string, at: string): string {
  const lines: string[] = [];
  for (const [n, each] of listIn(parts, at, 1, PARTS).entries()) {
    const part = fieldsOf(each, `${at}[${n}]`);
    const kind = oneOf(
      part.type,
      `${at}[${n}].type`,
      role === "user" ? ["text", "image_url"] : ["text", "refusal"],
    );
    if (kind === "text")
      lines.push(checkText(textIn(part.text, `${at}[${n}].text`, TEXT_CHARS), `${at}[${n}].text`));
    else if (kind === "refusal") lines.push(textIn(part.refusal, `${at}[${n}].refusal`, TEXT_CHARS));
    else {
      const image = fieldsOf(part.image_url, `${at}[${n}].image_url`);
      assertPublicUrl(
        textIn(image.url, `${at}[${n}].image_url.url`, TEXT_CHARS),
        `${at}[${n}].image_url.url`,
      );
      if (image.detail !== undefined && image.detail !== null)
        oneOf(image.detail, `${at}[${n}].image_url.detail`, ["auto", "low", "high"]);
    }
  }
  return lines.join("\n");
}

function checkText(text: string, param: string): string {
  if (text.length > WORD_CHARS && hasLongWord(text))
    throw new OpenAiRefusal(`'${param}' has a word of more than ${WORD_CHARS} characters.`, {
      param,
      as: "request.too-large",
      code: "string_above_max_length",
    });
  return text;
}

/** Looks at a place as far ahead as a word may be long, then back for white space: most characters are never read. */
function hasLongWord(text: string): boolean {
  for (let from = 0; from + WORD_CHARS < text.length; ) {
    let at = from + WORD_CHARS;
    while (at >= from && !isSpace(text.charCodeAt(at))) at--;
    if (at < from) return true;
    from = at + 1;
  }
  return false;
}

const isSpace = (code: number): boolean =>
  code <= 0x20 || code === 0xa0 || code === 0x3000 || (code >= 0x2000 && code <= 0x200b);
