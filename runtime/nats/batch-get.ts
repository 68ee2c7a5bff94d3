/**
 * Several stored messages for one request, from whichever replica answers. Source: ADR-31, batched requests. nats.js' own
 * leaves a subscription behind for each request, waits for ever when the connection ends in the middle of an answer, and
 * takes one that the server cut short, at 64 MB, for a whole one.
 */
import type { Msg } from "@nats-io/transport-node";
import { JetclawError } from "#contracts/errors.ts";
import type { Bus } from "./connect.ts";

export interface StoredMessage {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly seq: number;
  /** Ms since the epoch. */
  readonly at: number;
}

/** Which messages: of one filter from a sequence on, or the last of each subject that matches one of several. */
export type BatchQuery =
  | { readonly seq: number; readonly next_by_subj: string; readonly batch: number }
  | { readonly multi_last: readonly string[]; readonly batch: number };

export interface BatchPart {
  readonly messages: readonly StoredMessage[];
  /** Whether the server has more that match. */
  readonly hasMore: boolean;
}

const encoder = new TextEncoder();
/** An answer ends after the message with which it is as large: what waits for one client has a bound on the server. */
const PART_BYTES = 8 * 1024 * 1024;
/** Longest silence before and between messages. */
const SILENCE_MS = 5_000;
const END = 204;
const NOTHING = 404;

/** One request and its answer; where it has more, at least one message. @throws JetclawError `nats.unavailable` */
export function batchGet(bus: Bus, stream: string, query: BatchQuery): Promise<BatchPart> {
  return new Promise((resolve, reject) => {
    const messages: StoredMessage[] = [];
    const inbox = bus.inbox();
    const subject = `$JS.API.DIRECT.GET.${stream}`;
    const subscription = bus.nc.subscribe(inbox, {
      callback: (error, message) => {
        if (error) fail(error.message);
        else bus.guard(subject, () => receive(message));
      },
    });
    const timer = setTimeout(() => fail("no answer in time"), SILENCE_MS);
    // What was asked before went down with the connection.
    const back = bus.onReconnect(() => fail("the connection was lost"));
    const end = (): void => {
      clearTimeout(timer);
      back.stop();
      subscription.unsubscribe();
    };
    const fail = (why: string): void => {
      end();
      reject(new JetclawError("nats.unavailable", `${stream} was not read: ${why}`));
    };
    const receive = (message: Msg): void => {
      timer.refresh();
      const { headers } = message;
      const code = headers?.code ?? 0;
      const lastSeq = Number(headers?.get("Nats-Last-Sequence") ?? 0);
      const seen = messages.at(-1)?.seq ?? 0;
      if (code === NOTHING) {
        end();
        resolve({ messages, hasMore: false });
      } else if (code !== 0 && code !== END) fail(headers?.description || `status ${code}`);
      else if (lastSeq !== seen) fail("a part of the answer was lost");
      else if (code === END) {
        end();
        resolve({ messages, hasMore: Number(headers?.get("Nats-Num-Pending")) > 0 });
      } else
        messages.push({
          subject: headers?.get("Nats-Subject") ?? "",
          data: message.data,
          seq: Number(headers?.get("Nats-Sequence")),
          at: Date.parse(headers?.get("Nats-Time-Stamp") ?? ""),
        });
    };
    try {
      bus.nc.publish(subject, encoder.encode(JSON.stringify({ ...query, max_bytes: PART_BYTES })), {
        reply: inbox,
      });
    } catch (error) {
      fail(error instanceof Error ? error.message : String(error));
    }
  });
}
