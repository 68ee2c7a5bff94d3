/**
 * Numbered start and stop stages of a process. Stages start in ascending order and stop in descending order;
 * a failed start stops what had started. States: starting, running, draining, drained, stopped, failed.
 */
import type { Log } from "./observe/log.ts";

/** What may start in which order. Lower numbers start first and stop last. */
export const STAGE = {
  telemetry: 10,
  nats: 20,
  topology: 30,
  state: 40,
  workers: 50,
  hosts: 60,
  gateway: 70,
} as const;

export type LifecycleState = "starting" | "running" | "draining" | "drained" | "stopped" | "failed";

interface Participant {
  readonly name: string;
  readonly stage: number;
  readonly start: () => Promise<void>;
  readonly drain?: (() => Promise<void>) | undefined;
  readonly stop?: (() => Promise<void>) | undefined;
}

export class Lifecycle {
  #state: LifecycleState = "starting";
  readonly #participants: Participant[] = [];
  readonly #started: Participant[] = [];
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  get state(): LifecycleState {
    return this.#state;
  }

  /** `drain` stops taking and finishes what is held; `stop` closes. Both run in descending stage order. */
  add(participant: Participant): void {
    this.#participants.push(participant);
  }

  async start(): Promise<void> {
    const order = [...this.#participants].sort((a, b) => a.stage - b.stage);
    for (const participant of order) {
      try {
        await participant.start();
        this.#started.push(participant);
      } catch (error) {
        this.#state = "failed";
        this.#log.error({ err: error, part: participant.name }, "start failed");
        await this.#each("stop");
        throw error;
      }
    }
    this.#state = "running";
  }

  async stop(): Promise<void> {
    if (this.#state !== "running") return;
    this.#state = "draining";
    await this.#each("drain");
    this.#state = "drained";
    await this.#each("stop");
    this.#state = "stopped";
  }

  async #each(phase: "drain" | "stop"): Promise<void> {
    for (const participant of [...this.#started].reverse()) {
      try {
        await participant[phase]?.();
      } catch (error) {
        this.#log.error({ err: error, part: participant.name, phase }, "stage failed, going on");
      }
    }
  }
}
