/** The nats-server that `up` runs: started or adopted, started again when it dies, ended with the process. */
import { access, constants, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { JetclawError } from "#contracts/errors.ts";
import { ensureNatsServer, type NatsServerProcess, startNatsServer } from "#runtime/nats/server.ts";
import type { Log } from "#runtime/observe/log.ts";
import type { Settings } from "../settings.ts";

/** Ctrl-C in a terminal reaches the server as well: its end counts as a failure only when we are not ending too. */
const RESTART_DELAY_MS = 500;
const RESTARTS = 5;

export interface EmbeddedNats {
  readonly url: string;
  readonly dataDir: string;
  /** Resolves when the server has ended after `expectEnd`. */
  readonly ended: Promise<void>;
  /** From now on the end of the server is no failure. */
  expectEnd(): void;
  stop(): Promise<void>;
}

export async function startEmbeddedNats(
  settings: Settings,
  log: Log,
  say: (line: string) => void,
): Promise<EmbeddedNats> {
  const dataDir = join(settings.dataDir, "nats");
  await makeWritable(dataDir);
  const bin = await ensureNatsServer({
    log: say,
    given: settings.natsServerBin,
    cacheDir: settings.cacheDir,
  });
  const start = (port: number): Promise<NatsServerProcess> =>
    startNatsServer({ bin, dataDir, port, syncInterval: settings.natsSync, log: say });
  let server = await start(settings.natsPort);
  let ending = false;
  let gone = false;
  let restarts = 0;
  let noteEnd: () => void = () => {};
  const ended = new Promise<void>((resolve) => {
    noteEnd = resolve;
  });

  const watch = (): void => {
    void server.exited.then(async () => {
      gone = true;
      if (ending) noteEnd();
      await new Promise((resolve) => setTimeout(resolve, RESTART_DELAY_MS));
      if (ending) return;
      if (++restarts > RESTARTS) {
        log.fatal({ dataDir }, "nats-server keeps ending; its log is nats-server.log in this folder");
        process.exit(1);
      }
      log.error({ restarts }, "nats-server has ended, starting it again");
      await server.stop();
      server = await start(server.port);
      gone = false;
      watch();
    });
  };
  watch();
  return {
    url: server.url,
    dataDir,
    ended,
    expectEnd() {
      ending = true;
      if (gone) noteEnd();
    },
    async stop() {
      ending = true;
      await server.stop();
    },
  };
}

/** @throws JetclawError `start.refused` */
async function makeWritable(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
    await access(folder, constants.W_OK);
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? ` (${cause.code})` : "";
    throw new JetclawError(
      "start.refused",
      `the data folder ${folder} cannot be written${code}; make it writable, or set JETCLAW_DATA_DIR to another one`,
      { cause },
    );
  }
}
