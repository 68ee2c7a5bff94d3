// A real nats-server for one test file or one cluster: on a folder of its own, on a free port, gone at the end.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureNatsServer, type NatsServerProcess, startNatsServer } from "#runtime/nats/server.ts";
import { endWithUs } from "./reaping.ts";

export interface TestNatsOptions {
  /** Kept at the end when given; else a temporary folder that is removed. */
  readonly dataDir?: string;
  /** 0, the default, picks a free one. */
  readonly port?: number;
  readonly syncInterval?: "always" | "1s";
  readonly log?: (line: string) => void;
}

export interface TestNats {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  readonly dataDir: string;
  /** SIGTERM and waits; removes a temporary folder. Harmless when it was killed before. */
  stop(): Promise<void>;
  /** SIGKILL and waits for the end; `restart` brings it back on the same data and port. */
  kill(): Promise<void>;
  freeze(): void;
  thaw(): void;
  /** Starts it again after `kill` on the same data directory and port. */
  restart(): Promise<void>;
}

/** Resolves when the server greets clients and JetStream is on. */
export async function startTestNats(options: TestNatsOptions = {}): Promise<TestNats> {
  const image = process.env.JETCLAW_TEST_NATS_IMAGE;
  if (image) return (await import("./nats-container.ts")).startNatsContainer(image, options);
  const log = options.log ?? (() => {});
  const bin = await ensureNatsServer({ log, given: process.env.NATS_SERVER_BIN });
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), "jetclaw-test-nats-")));
  const start = async (port: number): Promise<{ server: NatsServerProcess; spare: () => void }> => {
    const server = await startNatsServer({
      bin,
      dataDir,
      port,
      log,
      syncInterval: options.syncInterval ?? "1s",
    });
    return { server, spare: endWithUs(server.pid) };
  };
  let { server, spare } = await start(options.port ?? 0);
  const { port, url } = server;
  return {
    url,
    port,
    dataDir,
    get pid() {
      return server.pid;
    },
    async stop() {
      await server.stop();
      spare();
      if (options.dataDir === undefined) await rm(dataDir, { recursive: true, force: true });
    },
    async kill() {
      server.kill();
      await server.exited;
      spare();
    },
    freeze: () => server.freeze(),
    thaw: () => server.thaw(),
    async restart() {
      ({ server, spare } = await start(port));
    },
  };
}
