// NATS nodes in network namespaces of their own on one bridge, parted as a network parts them: by routes that swallow
// what is sent. Needs root and iproute2. The harness and its members stay outside and reach every node by the bridge.
import { spawn, spawnSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { renderConfig, serverNameOf } from "#runtime/nats/server/config.ts";
import { probe } from "#runtime/nats/server/probe.ts";
import { endProcess, freezeProcess, sendSignal } from "#runtime/nats/server/processes.ts";
import type { NatsServerProcess } from "#runtime/nats/server.ts";
import { Skipped } from "./skipped.ts";
import { waitUntil } from "./wait.ts";

export interface NodeInNamespace {
  readonly name: string;
  readonly bin: string;
  readonly dataDir: string;
  readonly port: number;
  readonly configFile: string;
  readonly syncInterval: "always" | "1s" | "2m";
}

const READY_MS = 60_000;
const PROBE_MS = 1_000;
const STOP_GRACE_MS = 10_000;
/** One of the private networks, by process, so that two runs do not meet. */
const NETWORK = `10.214.${process.pid % 256}`;
const BRIDGE = `jcf${process.pid % 100_000}`;

export class Namespaces {
  readonly #names: readonly string[];
  /** Commands that undo what is cut. */
  #cuts: string[][] = [];

  private constructor(names: readonly string[]) {
    this.#names = names;
  }

  /** Makes the bridge and a namespace a node. @throws Skipped where the machine cannot */
  static make(names: readonly string[]): Namespaces {
    if (process.getuid?.() !== 0) throw new Skipped("network namespaces need root");
    const made = new Namespaces(names);
    try {
      ip("link", "add", BRIDGE, "type", "bridge");
      ip("addr", "add", `${NETWORK}.1/24`, "dev", BRIDGE);
      ip("link", "set", BRIDGE, "up");
      for (const name of names) made.#add(name);
    } catch (error) {
      made.close();
      throw new Skipped(`no network namespaces here: ${error instanceof Error ? error.message : error}`);
    }
    return made;
  }

  #add(name: string): void {
    const [space, outside] = [spaceOf(name), `${BRIDGE}${name}`];
    ip("netns", "add", space);
    ip("link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", space);
    ip("link", "set", outside, "master", BRIDGE, "up");
    ip("-n", space, "addr", "add", `${this.addressOf(name)}/24`, "dev", "eth0");
    ip("-n", space, "link", "set", "eth0", "up");
    ip("-n", space, "link", "set", "lo", "up");
  }

  addressOf(name: string): string {
    return `${NETWORK}.${this.#names.indexOf(name) + 2}`;
  }

  /** Parts two nodes, or keeps one from being heard by the other. */
  cut(from: string, to: string, way: "both" | "one-way"): void {
    this.#swallow(from, to);
    if (way === "both") this.#swallow(to, from);
  }

  #swallow(from: string, to: string): void {
    const route = ["blackhole", `${this.addressOf(to)}/32`];
    ip("-n", spaceOf(from), "route", "add", ...route);
    this.#cuts.push(["-n", spaceOf(from), "route", "del", ...route]);
  }

  heal(): void {
    for (const undo of this.#cuts.splice(0)) ip(...undo);
  }

  /** Starts a server in its namespace; resolves when it greets. */
  async start(node: NodeInNamespace): Promise<NatsServerProcess> {
    const { name, bin, dataDir, port, configFile, syncInterval } = node;
    const host = this.addressOf(name);
    const config = join(dataDir, "nats.conf");
    const serverName = serverNameOf(dataDir);
    await writeFile(
      config,
      await renderConfig(configFile, { host, port, storeDir: dataDir, serverName, syncInterval }),
    );
    const log = join(dataDir, "nats-server.log");
    // It becomes the server itself, under the same process id.
    const child = spawn("ip", ["netns", "exec", spaceOf(name), bin, "-c", config, "-l", log], {
      stdio: "ignore",
    });
    const exited = new Promise<number | null>((done) => child.once("exit", (code) => done(code)));
    const { pid } = child;
    if (pid === undefined) throw new Error("ip cannot be started");
    await waitUntil(
      async () => {
        if (child.exitCode !== null) throw new Error(`nats-server ended in its namespace, see ${log}`);
        return (await probe(host, port, PROBE_MS)).kind === "nats";
      },
      { timeoutMs: READY_MS, what: `${name} to greet` },
    );
    const alive = (): boolean => child.exitCode === null && child.signalCode === null;
    const signal = (what: NodeJS.Signals): void => void (alive() && sendSignal(pid, what));
    return {
      url: `nats://${host}:${port}`,
      port,
      pid,
      adopted: false,
      exited,
      kill: () => signal("SIGKILL"),
      freeze: async () => void (alive() && (await freezeProcess(pid))),
      thaw: () => signal("SIGCONT"),
      stop: async () => {
        if (alive()) await endProcess(pid, STOP_GRACE_MS);
        await exited;
      },
    };
  }

  /** Removes everything; what was never made is no failure. */
  close(): void {
    for (const name of this.#names) spawnSync("ip", ["netns", "del", spaceOf(name)]);
    spawnSync("ip", ["link", "del", BRIDGE]);
  }
}

const spaceOf = (name: string): string => `${BRIDGE}-${name}`;

/** @throws with what it said */
function ip(...args: readonly string[]): void {
  const { error, status, stderr } = spawnSync("ip", args, { encoding: "utf8" });
  if (error) throw error;
  if (status !== 0) throw new Error(stderr.trim() || `ip ${args.join(" ")} failed`);
}
