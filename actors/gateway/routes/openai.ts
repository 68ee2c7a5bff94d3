/** `POST /v1/chat/completions` and `GET /v1/models`, as OpenAI's own clients speak them. */
import type { FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import { CLASSES, type PriorityClass } from "#contracts/subjects.ts";
import { callerOf, requireScope } from "../auth.ts";
import { contextOf } from "../observe.ts";
import { CompletionAnswer } from "../openai/answer.ts";
import { unknownModel } from "../openai/completions.ts";
import { completionBody, completionResponses, modelResponse, modelsResponse } from "../openai/describe.ts";
import { OpenAiRefusal, openAiError, sendOpenAiError } from "../openai/errors.ts";
import type { Completions, ModelEntry, RunningCompletion } from "../openai/port.ts";
import { type CheckedRequest, checkRequest, refuseOverrides } from "../openai/request.ts";
import { ChunkWriter, completionOf } from "../openai/shapes.ts";
import type { App, GatewayParts } from "../parts.ts";
import { refuseBy } from "../problems.ts";
import type { SseStream } from "../sse.ts";

const JSON_TYPE = "application/json; charset=utf-8";
const tags = ["openai"];

export function openAiRoutes(app: App, parts: GatewayParts, completions: Completions): void {
  refuseBy(app, parts.deps.log, (_request, reply, error) => sendOpenAiError(reply, error));
  requireScope(app, "chat");
  app.addHook("onRequest", async (request, reply) => {
    const { allowance } = request;
    if (!allowance) return;
    reply.header("x-ratelimit-limit-requests", String(allowance.limit));
    reply.header("x-ratelimit-remaining-requests", String(allowance.remaining));
    reply.header("x-ratelimit-reset-requests", `${allowance.resetMs}ms`);
  });

  app.get(
    "/models",
    { schema: { tags, summary: "What can be named as model", response: { 200: modelsResponse } } },
    async () => ({
      object: "list" as const,
      data: completions.models.map(modelOf),
    }),
  );

  app.get(
    "/models/:model",
    {
      schema: {
        tags,
        summary: "One of them",
        params: z.object({ model: z.string() }),
        response: { 200: modelResponse },
      },
    },
    async ({ params }) => {
      const found = completions.models.find(({ id }) => id === params.model);
      if (!found) throw unknownModel(params.model, completions.models);
      return modelOf(found);
    },
  );

  app.post(
    "/chat/completions",
    {
      schema: {
        tags,
        summary: "Answer a chat without keeping it",
        description:
          "OpenAI's chat completions: one durable job, no conversation. `model` is `auto`, a pool, or a model of a pool. Headers: `x-jetclaw-class` (ongoing, new, deferred), `x-jetclaw-session` (names a conversation, so that its further requests count as ongoing), `x-jetclaw-timeout-ms`. Leaving cancels the job.",
        body: completionBody,
        response: completionResponses,
      },
      // A page's policies mean nothing to a program that reads JSON; `nosniff` stays.
      helmet: false,
      // The schema describes; the body is checked by hand in `request.ts`.
      validatorCompiler: () => (value) => ({ value }),
    },
    async (request, reply) => new Exchange(parts, completions, request, reply).run(),
  );
}

const modelOf = ({ id, ownedBy }: ModelEntry) => ({
  id,
  object: "model" as const,
  created: 0,
  owned_by: ownedBy,
});

/** One request from its check to its last byte. */
class Exchange {
  readonly #parts: GatewayParts;
  readonly #completions: Completions;
  readonly #request: FastifyRequest;
  readonly #reply: FastifyReply;
  #stream: SseStream | undefined;
  #chunks: ChunkWriter | undefined;

  constructor(parts: GatewayParts, completions: Completions, request: FastifyRequest, reply: FastifyReply) {
    this.#parts = parts;
    this.#completions = completions;
    this.#request = request;
    this.#reply = reply;
  }

  async run(): Promise<FastifyReply> {
    const request = this.#request;
    refuseOverrides(request.query, request.headers);
    const asked = checkRequest(request.body);
    if (asked.stream) this.#parts.streams.assertRoom();
    const cls = classOf(request, asked);
    const timeoutMs = timeoutOf(request, cls, this.#parts.settings);
    const answer = new CompletionAnswer(asked.stream ? (text) => this.#say(text) : undefined);
    const running = this.#begin(asked, { cls, timeoutMs }, answer);
    this.#reply.header("x-request-id", running.id);
    this.#reply.header("x-content-type-options", "nosniff");
    if (asked.stream)
      this.#chunks = new ChunkWriter(running.id, this.#nowSeconds(), asked.model, asked.includeUsage);
    const timer = setTimeout(() => answer.fail(tooLate()), timeoutMs);
    const { heartbeatMs } = this.#parts.settings;
    const thinking = asked.stream ? setTimeout(() => this.#open(), heartbeatMs) : undefined;
    const onClose = (): void => {
      if (!this.#reply.raw.writableFinished)
        answer.fail(new OpenAiRefusal("The caller left.", { status: 499 }));
    };
    this.#reply.raw.once("close", onClose);
    try {
      return await this.#finish(asked, answer, running);
    } finally {
      clearTimeout(timer);
      clearTimeout(thinking);
      if (answer.ended) running.close();
      else void running.cancel();
    }
  }

  #begin(
    asked: CheckedRequest,
    { cls, timeoutMs }: { cls: PriorityClass; timeoutMs: number },
    answer: CompletionAnswer,
  ): RunningCompletion {
    const { messages, options } = asked;
    const { exact } = messages;
    const running = this.#completions.begin(
      {
        tenant: callerOf(this.#request).tenant,
        model: asked.model,
        cls,
        messages: messages.texts,
        question: messages.question,
        chat: exact ? { messages: exact, options } : { options },
        maxOutputTokens: asked.maxOutputTokens,
        temperature: asked.temperature,
        stream: asked.stream,
        deadline: this.#parts.deps.clock.now() + timeoutMs,
        trace: contextOf(this.#request),
      },
      (event) => answer.offer(event),
    );
    running.stored.catch((error: unknown) => answer.fail(error));
    return running;
  }

  async #finish(
    asked: CheckedRequest,
    answer: CompletionAnswer,
    running: RunningCompletion,
  ): Promise<FastifyReply> {
    const reply = this.#reply;
    try {
      const result = await answer.result;
      if (!asked.stream)
        return reply
          .type(JSON_TYPE)
          .header("cache-control", "no-store")
          .send(completionOf(running.id, this.#nowSeconds(), result));
      const stream = this.#open();
      const chunks = this.#chunks as ChunkWriter;
      const last = [...chunks.end(result), ...(asked.includeUsage ? [chunks.usage(result)] : []), "[DONE]"];
      stream.data(last);
      stream.end();
    } catch (error) {
      // Before the stream is open a failure has a status of its own.
      if (!this.#stream && !reply.raw.destroyed) throw error;
      this.#stream?.data([JSON.stringify({ error: openAiError(error).error })]);
      this.#stream?.end();
      if (!this.#stream) reply.hijack();
    }
    return reply;
  }

  #say(text: string): void {
    const chunks = this.#chunks as ChunkWriter;
    if (this.#stream) this.#stream.data([chunks.text(text)]);
    else this.#open(chunks.text(text));
  }

  /**
   * The stream begins with the first word, so that what fails before can be refused or tried again unseen; or when a proxy
   * might soon take the silence for a dead connection.
   */
  #open(...first: string[]): SseStream {
    if (this.#stream) return this.#stream;
    this.#stream = this.#parts.streams.open(this.#reply, { plain: true });
    this.#stream.dataNow([(this.#chunks as ChunkWriter).role(), ...first]);
    return this.#stream;
  }

  #nowSeconds(): number {
    return Math.floor(this.#parts.deps.clock.now() / 1_000);
  }
}

const tooLate = (): OpenAiRefusal =>
  new OpenAiRefusal("The answer was not complete within the time of the request.", {
    as: "turn.deadline",
    code: "timeout",
  });

/**
 * Whoever says it decides; else a request is ongoing when it names its conversation and brings an earlier answer of it.
 * An earlier answer alone is no sign: examples in a prompt look the same.
 */
function classOf({ headers }: FastifyRequest, { user, messages }: CheckedRequest): PriorityClass {
  const { "x-jetclaw-class": named, "x-jetclaw-session": session } = headers;
  if (named === undefined)
    return messages.answered && (session !== undefined || user !== undefined) ? "ongoing" : "new";
  if (CLASSES.includes(named as PriorityClass)) return named as PriorityClass;
  throw new OpenAiRefusal(`x-jetclaw-class is one of ${CLASSES.join(", ")}.`, { param: "x-jetclaw-class" });
}

const LEAST_TIMEOUT_MS = 100;

function timeoutOf(
  { headers }: FastifyRequest,
  cls: PriorityClass,
  { completionMs, completionMostMs, deferredMostMs }: GatewayParts["settings"],
): number {
  const named = headers["x-jetclaw-timeout-ms"];
  if (named === undefined) return completionMs;
  if (typeof named === "string" && /^\d{1,9}$/.test(named) && Number(named) >= LEAST_TIMEOUT_MS)
    return Math.min(cls === "deferred" ? deferredMostMs : completionMostMs, Number(named));
  throw new OpenAiRefusal(`x-jetclaw-timeout-ms is a whole number from ${LEAST_TIMEOUT_MS}.`, {
    param: "x-jetclaw-timeout-ms",
  });
}
