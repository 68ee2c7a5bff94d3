/** A message and its answer: as one JSON, as a stream, or accepted and answered later. */
import type { FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import type { IncomingMessage } from "#actors/conversation/port.ts";
import { partsSchema } from "#contracts/content.ts";
import { LIMITS } from "#contracts/limits.ts";
import { answerSchema, type StreamEvent, type UserMessage, userMessageSchema } from "#contracts/turn.ts";
import { AnswerWait } from "../answer-wait.ts";
import { callerOf, requireScope } from "../auth.ts";
import { idSchema, parsePrefer, sessionParams, wantsEventStream } from "../input.ts";
import { refuseForLoad } from "../load-gate.ts";
import { contextOf, traceIdOf } from "../observe.ts";
import type { GatewayParts, Routes } from "../parts.ts";
import { problemOf, problemSchema } from "../problems.ts";
import { type SseStream, sendEvent } from "../sse.ts";

const messageSchema = z
  .object({
    text: z.string().min(1).max(LIMITS.messageTextChars).optional(),
    parts: partsSchema.optional(),
    id: idSchema.optional().meta({ description: "Idempotency key: a repeat gets the turn it already has." }),
    locale: userMessageSchema.shape.locale,
    assistant: userMessageSchema.shape.assistant,
    metadata: userMessageSchema.shape.metadata,
  })
  .refine(({ text, parts }) => (text === undefined) !== (parts === undefined), "send either text or parts");
type MessageBody = z.infer<typeof messageSchema>;

const acceptedSchema = z.object({ session: z.string(), id: z.string() });

const locationOf = (session: string): string => `/v1/conversations/${encodeURIComponent(session)}`;

export const messageRoutes: Routes = (app, parts) => {
  requireScope(app, "chat");

  app.post(
    "/conversations/:session/messages",
    {
      schema: {
        tags: ["conversations"],
        summary: "Send a message and wait for the answer",
        description:
          "JSON waits for the answer. `Accept: text/event-stream` streams the events turn, delta, restart, done, error. `Prefer: respond-async` answers 202 at once, `Prefer: wait=<seconds>` shortens the wait. Leaving does not stop the turn.",
        params: sessionParams,
        body: messageSchema,
        response: {
          200: {
            description: "The answer",
            content: {
              "application/json": { schema: answerSchema },
              "text/event-stream": { schema: z.string() },
            },
          },
          202: acceptedSchema,
          "4xx": problemSchema,
          "5xx": problemSchema,
        },
      },
    },
    async (request, reply) => sendMessage(parts, request, reply, request.params.session, request.body),
  );
};

/** Admission, then the subscription, then the message: nothing of the answer can be missed. */
async function sendMessage(
  parts: GatewayParts,
  request: FastifyRequest,
  reply: FastifyReply,
  session: string,
  body: MessageBody,
) {
  const { hub, streams } = parts;
  const { conversations, clock } = parts.deps;
  const { tenant } = callerOf(request);
  const prefer = parsePrefer(request.headers.prefer?.toString());
  const streaming = !prefer.respondAsync && wantsEventStream(request.headers.accept);
  const id = body.id ?? clock.id();
  const message = { tenant, session, id, body: userMessageOf(body), trace: contextOf(request) };
  if (streaming) streams.assertRoom();

  await refuseForLoad(parts, tenant, session);
  const place = await hub.admit(tenant, session, id);
  const waiting = prefer.respondAsync
    ? undefined
    : new Waiting(parts, message, body.id !== undefined, prefer.waitMs, streaming);
  let seq: number;
  try {
    await waiting?.listen();
    seq = await conversations.send(message);
    place.accepted(seq);
  } catch (error) {
    place.release();
    waiting?.leave();
    throw error;
  }
  if (!waiting)
    return reply
      .code(202)
      .header("location", locationOf(session))
      .header("preference-applied", "respond-async")
      .send({ session, id });

  reply.raw.once("close", () => waiting.leave());
  waiting.wait.published(seq);
  try {
    if (streaming) {
      await streamAnswer(waiting.openStream(reply), waiting.wait, request);
      return reply;
    }
    return await reply.header("cache-control", "no-store").send(await waiting.wait.answer);
  } finally {
    waiting.leave();
  }
}

function userMessageOf({
  text = "",
  parts = [{ type: "text", text }],
  locale,
  assistant,
  metadata,
}: MessageBody): UserMessage {
  return {
    parts,
    channel: "web",
    ...(locale ? { locale } : {}),
    ...(assistant ? { assistant } : {}),
    ...(metadata ? { metadata } : {}),
  };
}

/** A request that waits: its share of the session's events, and the stream they go to. */
class Waiting {
  readonly wait: AnswerWait;
  readonly #parts: GatewayParts;
  readonly #message: IncomingMessage;
  /** Ordered events from before the stream was opened. */
  readonly #early: StreamEvent[] = [];
  #stream: SseStream | undefined;
  #listening: { stop(): void } | undefined;

  constructor(
    parts: GatewayParts,
    message: IncomingMessage,
    mayBeRepeat: boolean,
    waitMs: number | undefined,
    streaming: boolean,
  ) {
    const { settings, deps, hub } = parts;
    const { tenant, session, id } = message;
    this.#parts = parts;
    this.#message = message;
    this.wait = new AnswerWait({
      conversations: deps.conversations,
      tenant,
      session,
      id,
      mayBeRepeat,
      waitMs: Math.min(waitMs ?? settings.waitMs, settings.waitMs),
      repeatCheckMs: settings.repeatCheckMs,
      quietCheckMs: settings.quietCheckMs,
      log: deps.log,
      onEvent: streaming ? (event) => this.#relay(event) : undefined,
    });
    parts.waits.add(this.wait);
    this.wait.answer.then(
      () => hub.answered(tenant, session, id),
      () => {},
    );
  }

  #relay(event: StreamEvent): void {
    if (this.#stream) sendEvent(this.#stream, event);
    else this.#early.push(event);
  }

  async listen(): Promise<void> {
    const { tenant, session } = this.#message;
    this.#listening = await this.#parts.hub.listen(tenant, session, (event) => this.wait.offer(event));
  }

  openStream(reply: FastifyReply): SseStream {
    const stream = this.#parts.streams.open(reply);
    this.#stream = stream;
    for (const event of this.#early) sendEvent(stream, event);
    return stream;
  }

  /** Harmless after the answer. The turn goes on either way. */
  leave(): void {
    this.#listening?.stop();
    this.#parts.waits.delete(this.wait);
    this.wait.cancel();
  }
}

/** The events went out as they came; what is left is how the stream ends. */
async function streamAnswer(stream: SseStream, wait: AnswerWait, request: FastifyRequest): Promise<void> {
  stream.onClose(() => wait.cancel());
  try {
    await wait.answer;
  } catch (error) {
    stream.send("error", problemOf(error, traceIdOf(request)));
  }
  stream.end();
}
