// A stream out of a server and back into it, as `nats stream backup` and `restore` do it: with its messages, their numbers
// and times, and the time when it was made. Source: the server's API, STREAM.SNAPSHOT and STREAM.RESTORE.
import type { Bus } from "#runtime/nats/connect.ts";
import { PATIENCE_MS } from "./wait.ts";

export interface StreamBackup {
  readonly stream: string;
  readonly config: unknown;
  readonly state: unknown;
  readonly chunks: readonly Uint8Array[];
}

interface Answer {
  readonly error?: { readonly description: string };
  readonly config?: unknown;
  readonly state?: unknown;
  readonly deliver_subject?: string;
}

export async function backUp(bus: Bus, stream: string): Promise<StreamBackup> {
  const deliver_subject = bus.inbox();
  const chunks: Uint8Array[] = [];
  const ended = Promise.withResolvers<void>();
  const subscription = bus.nc.subscribe(deliver_subject, {
    callback: (error, message) => {
      if (error) return ended.reject(error);
      message.respond();
      if (message.data.length === 0) return ended.resolve();
      chunks.push(message.data);
    },
  });
  const { config, state } = await ask(bus, `SNAPSHOT.${stream}`, { deliver_subject, no_consumers: true });
  await ended.promise;
  subscription.unsubscribe();
  return { stream, config, state, chunks };
}

/** In the place of the stream that is there. */
export async function restore(bus: Bus, { stream, config, state, chunks }: StreamBackup): Promise<void> {
  await bus.jsm.streams.delete(stream);
  const { deliver_subject = "" } = await ask(bus, `RESTORE.${stream}`, { config, state });
  for (const chunk of [...chunks, new Uint8Array()])
    answerOf((await bus.nc.request(deliver_subject, chunk, { timeout: PATIENCE_MS })).string());
}

async function ask(bus: Bus, what: string, request: object): Promise<Answer> {
  const subject = `$JS.API.STREAM.${what}`;
  return answerOf(
    (await bus.nc.request(subject, JSON.stringify(request), { timeout: PATIENCE_MS })).string(),
  );
}

function answerOf(text: string): Answer {
  const answer: Answer = text.startsWith("{") ? (JSON.parse(text) as Answer) : {};
  if (answer.error) throw new Error(answer.error.description);
  return answer;
}
