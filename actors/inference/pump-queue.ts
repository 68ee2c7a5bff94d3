/** The queue of a pool as its pump sees it, and what is said of its messages whether or not anybody hears it. */
import type { Lane, PriorityClass } from "#contracts/subjects.ts";
import type { Pulled } from "#runtime/nats/pull.ts";
import type { QueueLane } from "#runtime/nats/work-queue.ts";

/** The queue of a pool as the pump sees it. */
export interface PumpQueue {
  take(cls: PriorityClass, lane: Lane, most: number): Promise<Pulled[]>;
  /** Rings when a lane may hold something new. `shared`: only for one of the pumps that listen. */
  onBell(cls: PriorityClass, lane: Lane, shared: boolean, ring: () => void): { stop(): void };
  /** Rings the bell of a lane for another pump. */
  passBell(cls: PriorityClass, lane: Lane): void;
  /** Waits for one job of a lane; exactly one of the two is called. */
  stand?(at: QueueLane, waitMs: number, onMessage: (message: Pulled) => void, onEnd: () => void): void;
  /** Ends what stands, at one lane or at all; neither is called any more. */
  sit?(at?: QueueLane): void;
  /** Jobs in the stream, held by anyone or waiting. */
  stored(): Promise<number>;
}

/** Gives a job back; on a closed connection its ack wait does the same a little later. */
export function giveBack(message: Pulled, delayMs?: number): void {
  quietly(() => message.nak(delayMs));
}

/** Says what may as well stay unsaid. */
export function quietly(say: () => void): void {
  try {
    say();
  } catch {
    // Thrown only by a connection that was closed for good: nothing can be said over it, and nobody is to be told.
  }
}
