/** The nats-server that `up` runs: started or adopted, started again when it dies, ended with the process. */
import { access, constants, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { JetclawError } from "#contracts/errors.ts";
import { type Clock, systemClock } from "#runtime/clock.ts";
import { ensureNatsServer, type NatsServerProcess, startNatsServer } from "#runtime/nats/server.ts";
import type { Log } from "#runtime/observe/log.ts";
import type { Settings } from "../settings.ts";

/** Ctrl-C in a terminal reaches the server as well: its end counts as a failure only when we are not ending too. */
const RESTART_DELAY_MS = 500;
/** A server that ends more often than this within so long does not stay up by being started again. */
const RESTARTS = 5;
const RESTARTS_WITHIN_MS = 600_000;

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
  clock: Pick<Clock, "now" | "sleep"> = systemClock,
): Promise<EmbeddedNats> {
  const dataDir = join(settings.dataDir, "nats");
  await makeWritable(dataDir);
  const bin = await ensureNatsServer({
    log: say,
    given: settings.natsServerBin,
    cacheDir: settings.cacheDir,
  });
  const end = new AbortController();
  const { signal } = end;
  const start = (port: number): Promise<NatsServerProcess> =>
    startNatsServer({ bin, dataDir, port, syncInterval: settings.natsSync, signal, log: say });
  let server = await start(settings.natsPort).catch((error: unknown) => {
    throw isOfFiles(error) ? unwritable(dataDir, error) : error;
  });
  let gone = false;
  let ends: number[] = [];
  let restarting: Promise<void> | undefined;
  let noteEnd: () => void = () => {};
  const ended = new Promise<void>((resolve) => {
    noteEnd = resolve;
  });

  const restart = async (): Promise<void> => {
    while (gone) {
      await clock.sleep(RESTART_DELAY_MS);
      if (signal.aborted) return;
      const now = clock.now();
      ends = [...ends.filter((at) => at > now - RESTARTS_WITHIN_MS), now];
      if (ends.length > RESTARTS) {
        log.fatal({ dataDir }, "nats-server keeps ending; its log is nats-server.log in this folder");
        process.exit(1);
      }
      log.error({ restarts: ends.length }, "nats-server has ended, starting it again");
      try {
        await server.stop();
        server = await start(server.port);
        gone = false;
      } catch (err) {
        if (!signal.aborted) log.error({ err }, "nats-server does not start again");
      }
    }
    watch();
  };
  const watch = (): void => {
    void server.exited.then(() => {
      gone = true;
      if (signal.aborted) noteEnd();
      else restarting = restart();
    });
  };
  watch();
  return {
    url: server.url,
    dataDir,
    ended,
    expectEnd() {
      end.abort();
      if (gone) noteEnd();
    },
    async stop() {
      end.abort();
      // One that is being started would stay behind.
      await restarting;
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
    throw unwritable(folder, cause);
  }
}

/** A full disk or quota shows with the first file. */
const isOfFiles = (error: unknown): boolean =>
  error instanceof Error && "syscall" in error && FILE_CALLS.has(String(error.syscall));
const FILE_CALLS = new Set(["open", "write", "mkdir", "rename", "close"]);

function unwritable(folder: string, cause: unknown): JetclawError {
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
  const next = code === "ENOSPC" || code === "EDQUOT" ? "make some room" : "make it writable";
  return new JetclawError(
    "start.refused",
    `the data folder ${folder} cannot be written${code ? ` (${code})` : ""}; ${next}, or set JETCLAW_DATA_DIR to another one`,
    { cause },
  );
}
