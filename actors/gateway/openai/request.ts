/**
 * The body of `POST /v1/chat/completions`, checked by hand: one pass over the messages, no schema compiled, nothing
 * coerced. What is not known is refused, so that no option of a caller is dropped in silence.
 */
import type { CHAT_OPTIONS, ChatRequest } from "#contracts/chat.ts";
import { type Fields, fieldsOf, listIn, numberIn, oneOf, refuse, textIn, wholeIn } from "./check.ts";
import { OpenAiRefusal } from "./errors.ts";
import { type CheckedMessages, checkMessages } from "./messages.ts";
import { checkResponseFormat, checkToolChoice, checkTools } from "./tools.ts";

export interface CheckedRequest {
  readonly model: string;
  readonly messages: CheckedMessages;
  readonly options: ChatRequest["options"];
  readonly temperature: number | undefined;
  readonly maxOutputTokens: number | undefined;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  readonly user: string | undefined;
}

/** More than any model writes. */
export const OUTPUT_TOKENS = 262_144;
const ID_CHARS = 256;
const STOPS = 4;
const STOP_CHARS = 256;
const BIASES = 1_024;
const METADATA = 16;
const SEED = 2 ** 53 - 1;

type Check = (value: unknown, name: string, body: Fields) => void;
const flag: Check = (value, name) => {
  if (typeof value !== "boolean") refuse(name, "it must be true or false");
};
const id: Check = (value, name) => void textIn(value, name, ID_CHARS);
const nothing: Check = () => {};

/** Options that are handed on under their own names. */
const HANDED_ON: Readonly<Record<(typeof CHAT_OPTIONS)[number], Check>> = {
  temperature: (value, name) => void numberIn(value, name, 0, 2),
  top_p: (value, name) => void numberIn(value, name, 0, 1),
  stop: (value, name) => {
    if (typeof value === "string") textIn(value, name, STOP_CHARS);
    else for (const each of listIn(value, name, 1, STOPS)) textIn(each, name, STOP_CHARS);
  },
  seed: (value, name) => void wholeIn(value, name, -SEED, SEED),
  presence_penalty: (value, name) => void numberIn(value, name, -2, 2),
  frequency_penalty: (value, name) => void numberIn(value, name, -2, 2),
  logit_bias: (value, name) => {
    const entries = Object.entries(fieldsOf(value, name));
    if (entries.length > BIASES) refuse(name, `it must have at most ${BIASES} entries`);
    for (const [token, bias] of entries) {
      if (!/^\d{1,9}$/.test(token)) refuse(name, "its keys are token ids");
      numberIn(bias, name, -100, 100);
    }
  },
  user: id,
  tools: (value) => void checkTools(value),
  tool_choice: (value, _name, { tools }) => checkToolChoice(value, tools ? checkTools(tools) : undefined),
  parallel_tool_calls: flag,
  response_format: (value) => checkResponseFormat(value),
  reasoning_effort: (value, name) =>
    void oneOf(value, name, ["none", "minimal", "low", "medium", "high", "xhigh"]),
  verbosity: (value, name) => void oneOf(value, name, ["low", "medium", "high"]),
};

/** Options that are ours to read, or that change nothing here. */
const READ: Readonly<Record<string, Check>> = {
  model: nothing,
  messages: nothing,
  stream: flag,
  stream_options: (value, name, { stream }) => {
    if (stream !== true) refuse(name, "it is only allowed with stream");
    const { include_usage: usage, include_obfuscation: noise } = fieldsOf(value, name);
    for (const each of [usage, noise]) if (each !== undefined && each !== null) flag(each, name, {});
  },
  max_tokens: (value, name) => void wholeIn(value, name, 1, OUTPUT_TOKENS),
  max_completion_tokens: (value, name) => void wholeIn(value, name, 1, OUTPUT_TOKENS),
  n: (value, name) => void wholeIn(value, name, 1, 1),
  logprobs: (value, name) => {
    if (value !== false) refuse(name, "it is not supported");
  },
  modalities: (value, name) => {
    for (const each of listIn(value, name, 1, 1)) oneOf(each, name, ["text"]);
  },
  store: (value, name) => {
    if (value !== false) refuse(name, "completions are not stored");
  },
  metadata: (value, name) => {
    const entries = Object.entries(fieldsOf(value, name));
    if (entries.length > METADATA) refuse(name, `it must have at most ${METADATA} entries`);
    for (const [, each] of entries) textIn(each, name, 512);
  },
  service_tier: id,
  prompt_cache_key: id,
  safety_identifier: id,
};

/** @throws OpenAiRefusal 400, 413 */
export function checkRequest(value: unknown): CheckedRequest {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new OpenAiRefusal("The body must be a JSON object.", { code: "invalid_body" });
  const body = value as Fields;
  const { model } = body;
  if (model === undefined || model === null || model === "")
    throw new OpenAiRefusal("Missing required parameter: 'model'. GET /v1/models lists what there is.", {
      param: "model",
      code: "missing_required_parameter",
    });
  const options: Record<string, unknown> = {};
  for (const name of Object.keys(body)) {
    const handedOn = Object.hasOwn(HANDED_ON, name);
    const check = handedOn
      ? HANDED_ON[name as keyof typeof HANDED_ON]
      : Object.hasOwn(READ, name)
        ? READ[name]
        : undefined;
    // OpenAI's clients send null for what is left open, also of options that are not known here.
    if (body[name] === null || body[name] === undefined) continue;
    if (!check) refuseUnknown(name);
    check(body[name], name, body);
    if (handedOn) options[name] = body[name];
  }
  return {
    model: textIn(model, "model", ID_CHARS),
    messages: checkMessages(body.messages),
    options,
    temperature: (body.temperature as number | null | undefined) ?? undefined,
    maxOutputTokens:
      ((body.max_completion_tokens ?? body.max_tokens) as number | null | undefined) ?? undefined,
    stream: body.stream === true,
    includeUsage:
      (body.stream_options as { include_usage?: unknown } | null | undefined)?.include_usage === true,
    user: (body.user as string | null | undefined) ?? undefined,
  };
}

const NAME_SHOWN = /^[A-Za-z0-9_.-]{1,64}$/;
const IS_ADDRESS = /url|uri|host|api_?base|endpoint|api_?key/i;

function refuseUnknown(name: string): never {
  const shown = NAME_SHOWN.test(name) ? name : "?";
  const why = IS_ADDRESS.test(name)
    ? "Where models are is configured, never said by a request"
    : "It is not supported here";
  throw new OpenAiRefusal(`Unknown parameter: '${shown}'. ${why}.`, {
    param: shown,
    code: "unknown_parameter",
  });
}

/** A query or a header that names another address for the model. @throws OpenAiRefusal 400 */
export function refuseOverrides(query: unknown, headers: Readonly<Record<string, unknown>>): void {
  for (const name in query as Fields) if (IS_ADDRESS.test(name)) refuseUnknown(name);
  for (const name in headers) if (OVERRIDES.test(name)) refuseUnknown(name);
}

const OVERRIDES = /(base[-_]?url|api[-_]?base|custom[-_]host|target[-_]?url|upstream[-_]?url)/;
