// Who runs a server on a data directory. Two servers on one JetStream directory destroy it, so the directory
// holds a record of the process that owns it and of its server; the record outlives both when they are killed.
import { createHash } from "node:crypto";
import { readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { probe } from "./probe.ts";
import { describeProcess, endProcess } from "./processes.ts";

/** On a machine that is busy with the start of everything a server that works may take seconds to greet. */
const PROBE_LIMIT_MS = 5_000;
const GRACE_MS = 5_000;
/** Nobody needs so long to write a record: one that cannot be read was left half-way. */
const WRITTEN_MS = 10_000;

interface Party {
  readonly pid: number;
  readonly startedAt: string;
}

export interface Ownership {
  readonly owner: Party;
  /** Null from the claim until the server is started. */
  readonly server: (Party & { readonly port: number; readonly configHash: string }) | null;
}

export interface Inheritance {
  readonly pid: number;
  readonly port: number;
}

function recordPath(dataDir: string): string {
  return join(dataDir, "nats-server.json");
}

export function configPath(dataDir: string): string {
  return join(dataDir, "nats.conf");
}

export function hashOf(config: string): string {
  return createHash("sha256").update(config).digest("hex");
}

/** Makes this process the owner, or throws naming the living one. Returns what was there before. */
export async function claim(dataDir: string): Promise<Ownership | null> {
  const left = await readFile(recordPath(dataDir), "utf8").catch(() => null);
  const previous = left === null ? null : recordIn(left);
  if (previous !== null) {
    const mine = previous.owner.pid === process.pid;
    if (!mine && (await isSame(previous.owner))) throw inUse(dataDir, previous.owner.pid);
    if (mine && previous.server !== null && (await isSame(previous.server)))
      throw inUse(dataDir, process.pid);
  }
  const record: Ownership = { owner: await ourselves(), server: null };
  if (left === null) await create(dataDir, recordPath(dataDir), record);
  else await replace(dataDir, left, record);
  return previous;
}

/** Writes a record where none is: of many who try at once one succeeds. */
async function create(dataDir: string, path: string, record: Ownership): Promise<void> {
  try {
    await writeFile(path, JSON.stringify(record), { flag: "wx" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    throw inUse(dataDir, (await readRecord(path))?.owner.pid);
  }
}

/**
 * Takes the place of a record that was left behind. Removed first and written then, two who found it at the same moment
 * would both own the directory: so whoever makes the file that is named after it may replace it, and nobody who is late.
 */
async function replace(dataDir: string, left: string, record: Ownership): Promise<void> {
  const path = recordPath(dataDir);
  const own = `${path}.${hashOf(left)}`;
  const other = await readRecord(own);
  const broken = other === null ? await isOld(own) : !(await isSame(other.owner));
  if (broken) await rm(own, { force: true });
  await create(dataDir, own, record);
  if ((await readFile(path, "utf8").catch(() => null)) === left) return rename(own, path);
  await rm(own, { force: true });
  throw inUse(dataDir, (await readRecord(path))?.owner.pid);
}

const isOld = (path: string): Promise<boolean> =>
  stat(path).then(
    ({ mtimeMs }) => Date.now() - mtimeMs > WRITTEN_MS,
    () => false,
  );

/**
 * A server that its owner left behind is taken over when it answers, runs the same configuration and listens
 * where it is wanted; anything else that is left is ended, so that the directory is free.
 */
export async function inherit(
  dataDir: string,
  previous: Ownership | null,
  wanted: { host: string; port: number; serverName: string; hashFor: (port: number) => Promise<string> },
  log: (line: string) => void,
): Promise<Inheritance | null> {
  const server = previous?.server;
  if (!server || !(await isOurServer(server, dataDir))) return null;
  const { pid, port } = server;
  const answer = await probe(wanted.host, port, PROBE_LIMIT_MS);
  const answers = answer.kind === "nats" && answer.info.name === wanted.serverName && answer.info.jetstream;
  const fits =
    (wanted.port === 0 || wanted.port === port) && server.configHash === (await wanted.hashFor(port));
  if (answers && fits) {
    log(`nats-server: adopting the one left behind on port ${port} (pid ${pid})`);
    return { pid, port };
  }
  log(
    `nats-server: ending the one left behind (pid ${pid}), it ${answers ? "is set up differently" : "does not answer"}`,
  );
  await endProcess(pid, GRACE_MS);
  return null;
}

export async function recordServer(
  dataDir: string,
  pid: number,
  port: number,
  config: string,
): Promise<void> {
  const startedAt = (await describeProcess(pid))?.startedAt ?? "";
  const server = { pid, startedAt, port, configHash: hashOf(config) };
  const record: Ownership = { owner: await ourselves(), server };
  const draft = `${recordPath(dataDir)}.${process.pid}`;
  await writeFile(draft, JSON.stringify(record));
  await rename(draft, recordPath(dataDir));
}

export function release(dataDir: string): Promise<void> {
  return rm(recordPath(dataDir), { force: true });
}

async function readRecord(path: string): Promise<Ownership | null> {
  return recordIn(await readFile(path, "utf8").catch(() => ""));
}

/** A missing record and one cut short by a crash mean the same: nothing is known. */
function recordIn(text: string): Ownership | null {
  try {
    const record = JSON.parse(text) as Ownership;
    return typeof record.owner?.pid === "number" ? record : null;
  } catch {
    return null;
  }
}

async function ourselves(): Promise<Party> {
  return { pid: process.pid, startedAt: (await describeProcess(process.pid))?.startedAt ?? "" };
}

async function isSame(party: Party): Promise<boolean> {
  return (await describeProcess(party.pid))?.startedAt === party.startedAt;
}

/** Before a signal is sent to a recorded pid: it must still be the process that was started on this directory. */
async function isOurServer(server: Party, dataDir: string): Promise<boolean> {
  const facts = await describeProcess(server.pid);
  return (
    facts !== null && facts.startedAt === server.startedAt && facts.command.includes(configPath(dataDir))
  );
}

function inUse(dataDir: string, pid: number | undefined): Error {
  return new Error(
    `${dataDir} is in use by another jetclaw process (pid ${pid ?? "unknown"}). ` +
      "Stop that one, or give this one a data directory and ports of its own (JETCLAW_DATA_DIR, JETCLAW_NATS_PORT, JETCLAW_PORT).",
  );
}
