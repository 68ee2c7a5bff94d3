/** A process that is asked to drain, over NATS: it ends as a SIGTERM ends it. */
import { decode, encode } from "#contracts/codec.ts";
import { JetclawError } from "#contracts/errors.ts";
import { CORE } from "#contracts/subjects.ts";
import type { Bus } from "#runtime/nats/connect.ts";

interface DrainAnswer {
  readonly roles: readonly string[];
}

const ANSWER_MS = 3_000;

/** Listens for as long as the connection lives. @returns what resolves when somebody asks */
export function listenForDrain(
  bus: Bus,
  instance: string,
  roles: readonly string[],
): { readonly asked: Promise<void> } {
  const { promise, resolve } = Promise.withResolvers<void>();
  bus.subscribe(CORE.drain(instance), (message) => {
    message.respond(encode({ roles } satisfies DrainAnswer));
    resolve();
  });
  return { asked: promise };
}

/** Asks a process to drain. @returns its roles @throws JetclawError `nats.unavailable` when it does not answer */
export async function askToDrain(bus: Bus, instance: string): Promise<readonly string[]> {
  try {
    return decode<DrainAnswer>(await bus.request(CORE.drain(instance), encode({}), ANSWER_MS)).roles;
  } catch (cause) {
    throw new JetclawError("nats.unavailable", `${instance} does not answer`, { cause });
  }
}
