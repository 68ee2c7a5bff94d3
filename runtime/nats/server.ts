// Runs a nats-server of our own on a data directory: started or adopted, ready when it greets, stopped with care.
// Where its binary comes from is server/binary.ts; this file owns the life of the process.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { type ConfigValues, renderConfig, serverNameOf, templatePath } from "./server/config.ts";
import { claim, configPath, hashOf, inherit, recordServer, release } from "./server/ownership.ts";
import { probe, reservePort } from "./server/probe.ts";
import { endProcess, endWithUs, freezeProcess, sendSignal, waitForEnd } from "./server/processes.ts";

export { type BinaryOptions, ensureNatsServer } from "./server/binary.ts";

export interface NatsServerOptions {
  readonly bin: string;
  readonly dataDir: string;
  /** 0 picks a free one. */
  readonly port: number;
  readonly host?: string;
  /** `always` survives a power cut; `1s`, the default on one node, loses up to a second in one; `2m` is NATS' own. */
  readonly syncInterval?: "always" | "1s" | "2m";
  /** The template to fill in instead of the repository's nats.conf. */
  readonly configFile?: string;
  readonly monitorPort?: number;
  /** Ends a start that is under way. */
  readonly signal?: AbortSignal;
  readonly log: (line: string) => void;
}

export interface NatsServerProcess {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** True when the server was left behind by an earlier process and taken over. */
  readonly adopted: boolean;
  /** SIGTERM, then SIGKILL; the data directory is free afterwards. */
  stop(): Promise<void>;
  kill(): void;
  /** Resolves when the process stands still. */
  freeze(): Promise<void>;
  thaw(): void;
  /** The exit code, or null when it ended by a signal or was adopted. */
  readonly exited: Promise<number | null>;
}

/** A start that takes longer is told of, again and again. */
const TELL_MS = 10_000;
const READY_PROBE_MS = 1_000;
const READY_PAUSE_MS = 20;
const STOP_GRACE_MS = 10_000;
const ADOPTED_POLL_MS = 250;
const PORT_TRIES = 3;
const LOG_TAIL_LINES = 8;

interface Plan {
  readonly options: NatsServerOptions;
  readonly dataDir: string;
  readonly host: string;
  readonly serverName: string;
}

export async function startNatsServer(options: NatsServerOptions): Promise<NatsServerProcess> {
  const dataDir = resolve(options.dataDir);
  const plan: Plan = {
    options,
    dataDir,
    host: options.host ?? "127.0.0.1",
    serverName: serverNameOf(dataDir),
  };
  await mkdir(dataDir, { recursive: true });
  const previous = await claim(dataDir);
  try {
    const wanted = {
      host: plan.host,
      port: options.port,
      serverName: plan.serverName,
      hashFor: async (port: number) => hashOf(await configFor(plan, port)),
    };
    const inherited = await inherit(dataDir, previous, wanted, options.log);
    if (inherited !== null) return await adopt(plan, inherited.pid, inherited.port);
    return await startNew(plan);
  } catch (error) {
    await release(dataDir);
    throw error;
  }
}

function configFor(plan: Plan, port: number): Promise<string> {
  const { options, dataDir, host, serverName } = plan;
  const values: ConfigValues = {
    host,
    port,
    storeDir: dataDir,
    serverName,
    syncInterval: options.syncInterval ?? "1s",
    monitorPort: options.monitorPort,
  };
  return renderConfig(options.configFile ?? templatePath(), values);
}

async function adopt(plan: Plan, pid: number, port: number): Promise<NatsServerProcess> {
  await recordServer(plan.dataDir, pid, port, await configFor(plan, port));
  const exited = waitForEnd(pid, Number.POSITIVE_INFINITY, ADOPTED_POLL_MS).then(() => null);
  return handle(plan, pid, port, exited, true);
}

async function startNew(plan: Plan): Promise<NatsServerProcess> {
  // A free port is known only by asking, and another process may take it before the server does.
  for (let tries = 1; ; tries++) {
    const port = await reservePort(plan.host, plan.options.port).catch((cause: NodeJS.ErrnoException) => {
      throw new Error(
        `Nothing can listen on ${plan.host}:${plan.options.port} (${cause.code}). Set JETCLAW_NATS_PORT to another port.`,
        { cause },
      );
    });
    if (port === null) throw await portTaken(plan);
    const config = await configFor(plan, port);
    await writeFile(configPath(plan.dataDir), config);
    const logStart = await sizeOf(logPath(plan));
    const child = launch(plan);
    const exited = new Promise<number | null>((done) => child.once("exit", (code) => done(code)));
    const failed = new Promise<Error>((done) => child.once("error", done));
    if (child.pid === undefined)
      throw new Error(`${plan.options.bin} cannot be started: ${(await failed).message}`);
    // Also while nobody knows yet whether it comes up.
    void exited.then(endWithUs(child.pid));
    await recordServer(plan.dataDir, child.pid, port, config);
    if (await becomesReady(plan, port, child)) return handle(plan, child.pid, port, exited, false);
    await endProcess(child.pid, 0);
    const tail = await logTail(plan, logStart);
    const raced = tail.includes("address already in use");
    if (!(raced && plan.options.port === 0 && tries < PORT_TRIES)) throw startFailed(plan, port, tail);
  }
}

function launch(plan: Plan): ChildProcess {
  const { bin } = plan.options;
  // Not detached: whoever ends our process group ends the server with it. The log is a file, because a pipe to
  // us would break when we die and the server is adopted later.
  return spawn(bin, ["-c", configPath(plan.dataDir), "-l", logPath(plan), "--log_size_limit", "16777216"], {
    cwd: plan.dataDir,
    stdio: "ignore",
  });
}

/** It greets when it has looked through its store: after a power cut whole files of it, and ended meanwhile it begins anew. */
async function becomesReady(plan: Plan, port: number, child: ChildProcess): Promise<boolean> {
  const begunAt = performance.now();
  let tellAt = begunAt + TELL_MS;
  while (child.exitCode === null && child.signalCode === null && !plan.options.signal?.aborted) {
    const answer = await probe(plan.host, port, READY_PROBE_MS);
    if (answer.kind === "nats" && answer.info.name === plan.serverName) return answer.info.jetstream;
    const now = performance.now();
    if (now >= tellAt) {
      const seconds = Math.round((now - begunAt) / 1_000);
      plan.options.log(`nats-server: still starting after ${seconds} s, see ${logPath(plan)}`);
      tellAt = now + TELL_MS;
    }
    await new Promise((next) => setTimeout(next, READY_PAUSE_MS));
  }
  return false;
}

function handle(
  plan: Plan,
  pid: number,
  port: number,
  exited: Promise<number | null>,
  adopted: boolean,
): NatsServerProcess {
  let running = true;
  const unbind = endWithUs(pid);
  exited.then(() => {
    running = false;
    unbind();
  });
  // After its end the pid may belong to a stranger, so no signal leaves from then on.
  const signal = (name: NodeJS.Signals) => {
    if (running) sendSignal(pid, name);
  };
  return {
    url: `nats://${plan.host.includes(":") ? `[${plan.host}]` : plan.host}:${port}`,
    port,
    pid,
    adopted,
    exited,
    kill: () => signal("SIGKILL"),
    freeze: async () => {
      if (running) await freezeProcess(pid);
    },
    thaw: () => signal("SIGCONT"),
    stop: async () => {
      if (running) await endProcess(pid, STOP_GRACE_MS);
      await exited;
      await release(plan.dataDir);
    },
  };
}

async function portTaken(plan: Plan): Promise<Error> {
  const { port } = plan.options;
  const answer = await probe(plan.host, port, READY_PROBE_MS);
  const who = answer.kind === "nats" ? `another NATS server (${answer.info.name})` : "another program";
  return new Error(
    `Port ${port} on ${plan.host} is taken by ${who}. ` +
      "Set JETCLAW_NATS_PORT to a free port, or JETCLAW_NATS_URL to use a NATS server that runs already.",
  );
}

function startFailed(plan: Plan, port: number, tail: string): Error {
  return new Error(
    `nats-server did not start on port ${port}. Its last words, from ${logPath(plan)}:\n${tail || "(none)"}`,
  );
}

function logPath(plan: Plan): string {
  return join(plan.dataDir, "nats-server.log");
}

async function logTail(plan: Plan, from: number): Promise<string> {
  const text = await readFile(logPath(plan)).catch(() => Buffer.alloc(0));
  // The server begins a new file when the limit is reached, and then the old offset means nothing.
  const recent = text.subarray(from <= text.length ? from : 0).toString("utf8");
  return recent.trim().split("\n").slice(-LOG_TAIL_LINES).join("\n");
}

async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(() => null))?.size ?? 0;
}
