// Sender processes of one channel that share their durable reader; for one that dies another is started.
import { type ChildProcess, fork } from "node:child_process";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { endWithUs } from "./reaping.ts";
import type { SenderConfig, Sent } from "./sender-process.ts";

const ENTRY = fileURLToPath(new URL("sender-process.ts", import.meta.url));

export class Senders {
  readonly #config: SenderConfig;
  readonly #children = new Set<ChildProcess>();
  #started = 0;
  #diesOnceIn: number;
  #ended = false;
  /** Senders that died between sending and ack. */
  deaths = 0;
  /** Why one could not start: the others would fail like it. */
  failure: Error | undefined;

  constructor(config: SenderConfig, count: number) {
    this.#config = config;
    this.#diesOnceIn = config.diesOnceIn;
    for (let n = 0; n < count; n++) this.#start();
  }

  /** From now on nobody dies: those who would are ended, which is a death like the others. */
  calm(): void {
    this.#diesOnceIn = 0;
    for (const child of this.#children) child.kill("SIGKILL");
  }

  /** Everything sent so far, oldest first. */
  async sent(): Promise<Sent[]> {
    const text = await readFile(this.#config.file, "utf8").catch(() => "");
    // The last line may be half written.
    return text
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Sent);
  }

  end(): void {
    this.#ended = true;
    for (const child of this.#children) child.kill("SIGKILL");
  }

  #start(): void {
    const child = fork(ENTRY, { execArgv: ["--conditions=jetclaw-src"] });
    const spare = child.pid === undefined ? () => {} : endWithUs(child.pid);
    this.#children.add(child);
    child.once("exit", (code) => {
      spare();
      this.#children.delete(child);
      if (this.#ended) return;
      if (code !== null) this.failure ??= new Error(`a sender ended with ${code}`);
      else this.deaths++;
      if (!this.failure) this.#start();
    });
    const seed = this.#config.seed + ++this.#started;
    child.send({ ...this.#config, seed, diesOnceIn: this.#diesOnceIn } satisfies SenderConfig);
  }
}
