// One NATS server or a cluster of three, with verbs. In a cluster everything passes through lines: clients reach each
// node by a line of its own, and each pair of nodes has one for either side that dials, so that any two can be parted.
// Or the nodes live in network namespaces, and routes part them.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Bus } from "#runtime/nats/connect.ts";
import { templatePath } from "#runtime/nats/server/config.ts";
import { ensureNatsServer, type NatsServerProcess, startNatsServer } from "#runtime/nats/server.ts";
import { freePort } from "./free-port.ts";
import { type Ailments, ailmentsOf, nothingLasts, replicasBehind } from "./health.ts";
import type { LineFault, LineOptions } from "./line.ts";
import { Lines } from "./lines.ts";
import { Namespaces } from "./namespaces.ts";
import { endWithUs } from "./reaping.ts";

export type SyncInterval = "always" | "1s" | "2m";

export interface NodesOptions {
  readonly dir: string;
  readonly size: 1 | 3;
  readonly syncInterval: SyncInterval;
  /** Lines draw from it whose acknowledgement they drop. */
  readonly seed: number;
  /** Also in front of a single server. */
  readonly lines: boolean;
  /** Nodes in network namespaces of their own, without lines. */
  readonly netns: boolean;
  /** With a user `operator`, whose password is the same, for the system account. */
  readonly operator?: boolean;
  /** Where a node keeps its data, instead of a folder below `dir`. */
  readonly storeOf?: (node: string) => string;
}

interface Ports {
  readonly client: number;
  readonly route: number;
  readonly monitor: number;
  /** Of the line that clients dial. */
  readonly line: number;
}

/** The name of the harness's own connection. */
export const HARNESS = "harness";
const PROBE_MS = 1_000;
const OPERATOR = 'accounts { $SYS { users: [{ user: "operator", password: "operator" }] } }';

export class NatsNode {
  readonly name: string;
  readonly address: string;
  readonly ports: Ports;
  readonly dataDir: string;
  readonly #start: () => Promise<NatsServerProcess>;
  #process: NatsServerProcess | undefined;
  #spare: () => void = () => {};
  #frozen = false;

  constructor(
    at: { name: string; address: string; ports: Ports; dataDir: string },
    start: () => Promise<NatsServerProcess>,
  ) {
    this.name = at.name;
    this.address = at.address;
    this.ports = at.ports;
    this.dataDir = at.dataDir;
    this.#start = start;
  }

  get running(): boolean {
    return this.#process !== undefined;
  }
  get frozen(): boolean {
    return this.#frozen;
  }

  /** Starts it, or starts it again on the same data and ports; resolves when it greets. */
  async start(): Promise<void> {
    this.#process = await this.#start();
    this.#spare = endWithUs(this.#process.pid);
  }

  /** SIGTERM; resolves when it has ended. */
  async stop(): Promise<void> {
    await this.#end((process) => process.stop());
  }

  async kill(): Promise<void> {
    await this.#end(async (process) => {
      process.kill();
      await process.exited;
    });
  }

  async freeze(): Promise<void> {
    this.#frozen = true;
    await this.#process?.freeze();
  }

  thaw(): void {
    this.#frozen = false;
    this.#process?.thaw();
  }

  /** What on it is not up to date, as it says itself. */
  ailments(): Promise<Ailments> {
    return ailmentsOf(this.name, `http://${this.address}:${this.ports.monitor}`);
  }

  /** What its monitoring port answers; undefined when it does not, or with an error. */
  async monitor(page: string): Promise<unknown> {
    try {
      const signal = AbortSignal.timeout(PROBE_MS);
      const answer = await fetch(`http://${this.address}:${this.ports.monitor}/${page}`, { signal });
      return answer.status === 200 ? await answer.json() : undefined;
    } catch {
      return undefined;
    }
  }

  async #end(how: (process: NatsServerProcess) => Promise<void>): Promise<void> {
    const process = this.#process;
    if (!process) return;
    this.thaw();
    this.#process = undefined;
    await how(process);
    this.#spare();
  }
}

export class NatsNodes {
  readonly nodes: readonly NatsNode[];
  readonly lines: Lines | undefined;
  /** What members connect to: lines, where there are any. */
  readonly url: string;
  /** The same servers without lines between. */
  readonly directUrl: string;

  readonly #namespaces: Namespaces | undefined;

  private constructor(
    nodes: readonly NatsNode[],
    lines: Lines | undefined,
    namespaces: Namespaces | undefined,
  ) {
    const at = (portOf: (ports: Ports) => number): string =>
      nodes.map(({ address, ports }) => `nats://${address}:${portOf(ports)}`).join(",");
    this.nodes = nodes;
    this.lines = lines;
    this.#namespaces = namespaces;
    this.directUrl = at(({ client }) => client);
    this.url = at(({ line, client }) => (lines ? line : client));
  }

  /** Starts the servers; resolves when all of them are healthy. */
  static async start(options: NodesOptions): Promise<NatsNodes> {
    const names = Array.from({ length: options.size }, (_, n) => `n${n + 1}`);
    const bin = await ensureNatsServer({ log: () => {}, given: process.env.NATS_SERVER_BIN });
    const ports = new Map<string, Ports>();
    for (const name of names) ports.set(name, await somePorts());
    const namespaces = options.netns ? Namespaces.make(names) : undefined;
    const routes = await routesOf(names, ports);
    const withLines = !options.netns && (options.lines || options.size > 1);
    const lines = withLines ? await Lines.open([...clientLines(ports), ...routes], options.seed) : undefined;
    const nodes: NatsNode[] = [];
    for (const name of names) {
      const own = ports.get(name) as Ports;
      const dataDir = options.storeOf?.(name) ?? join(options.dir, name);
      await mkdir(dataDir, { recursive: true });
      const configFile = join(options.dir, `${name}.template.conf`);
      const { syncInterval } = options;
      const address = namespaces?.addressOf(name) ?? "127.0.0.1";
      const template = namespaces
        ? await namespacedTemplate(name, ports, namespaces)
        : await templateOf(name, own, routes, withLines);
      const accounts = options.operator ? OPERATOR : "";
      await writeFile(
        configFile,
        `${template}${accounts}\nlog_file: "${join(options.dir, `${name}.log`)}"\n`,
      );
      const where = { dataDir, port: own.client, configFile, syncInterval };
      const start = (): Promise<NatsServerProcess> =>
        namespaces
          ? namespaces.start({ name, bin, ...where })
          : startNatsServer({ bin, ...where, monitorPort: own.monitor, log: () => {} });
      nodes.push(new NatsNode({ name, address, ports: own, dataDir }, start));
    }
    const cluster = new NatsNodes(nodes, lines, namespaces);
    try {
      await Promise.all(nodes.map((node) => node.start()));
      await cluster.answering(60_000);
    } catch (error) {
      await cluster.close();
      throw error;
    }
    return cluster;
  }

  node(name: string): NatsNode {
    const node = this.nodes.find((each) => each.name === name);
    if (!node) throw new Error(`there is no node ${name}`);
    return node;
  }

  /** Name of the node that leads a stream; undefined while nobody does. */
  async leaderOf(bus: Bus, stream: string): Promise<NatsNode | undefined> {
    const { cluster } = await bus.jsm.streams.info(stream);
    const names = await this.#serverNames();
    return this.nodes.find(({ name }) => names.get(name) === cluster?.leader);
  }

  /** Resolves when no running node says that something on it is not current, and goes on saying so. */
  async answering(timeoutMs: number): Promise<void> {
    const look = async (): Promise<Ailments> => {
      const awake = this.nodes.filter((n) => n.running && !n.frozen);
      const all = await Promise.all(awake.map((n) => n.ailments()));
      return { whole: all.find(({ whole }) => whole)?.whole, ill: all.flatMap(({ ill }) => ill) };
    };
    await nothingLasts(look, timeoutMs, "healthy NATS nodes");
  }

  /** Resolves when every stream has a leader and every replica of it is current. */
  async healthy(bus: Bus, timeoutMs: number): Promise<void> {
    await this.answering(timeoutMs);
    await nothingLasts(() => replicasBehind(bus), timeoutMs, "every replica to be current");
  }

  /** Parts two nodes, or keeps one from being heard by the other. */
  async cut(from: NatsNode, to: NatsNode, way: "both" | "one-way" = "both"): Promise<void> {
    if (this.#namespaces) return this.#namespaces.cut(from.name, to.name, way);
    await this.#set([routeLine(from, to)], { cut: way === "both" ? "both" : "toServer" });
    await this.#set([routeLine(to, from)], { cut: way === "both" ? "both" : "toClient" });
  }

  /** Parts a node from all others. Its clients stay. One way: it hears the others, and they do not hear it. */
  async isolate(node: NatsNode, way: "both" | "one-way" = "both"): Promise<void> {
    for (const other of this.nodes) if (other !== node) await this.cut(node, other, way);
  }

  /** Ends every fault of every line. */
  async heal(): Promise<void> {
    if (this.#namespaces) return this.#namespaces.heal();
    await this.#set([...this.#routeLines(), ...this.#clientLines()], {});
  }

  /** Names of the members that are connected to a node, as it says itself. */
  async clientsOn(node: NatsNode): Promise<string[]> {
    const { connections = [] } = ((await node.monitor("connz")) ?? {}) as {
      connections?: { name: string }[];
    };
    return connections.map(({ name }) => name).filter((name) => name !== HARNESS);
  }

  /** A fault between the clients and some nodes, all of them if none are named. */
  async disturbClients(fault: LineFault, nodes: readonly NatsNode[] = this.nodes): Promise<void> {
    await this.#set(
      nodes.map(({ name }) => `clients>${name}`),
      fault,
    );
  }

  async disturbRoutes(fault: LineFault): Promise<void> {
    await this.#set(this.#routeLines(), fault);
  }

  /** Breaks the connections of the clients of some nodes. */
  async severClients(nodes: readonly NatsNode[] = this.nodes): Promise<void> {
    await this.lines?.sever(nodes.map(({ name }) => `clients>${name}`));
  }

  /** SIGKILL to all nodes. */
  async kill(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.kill()));
  }

  /** Starts what does not run; resolves when all greet. */
  async restart(): Promise<void> {
    await Promise.all(this.nodes.filter((node) => !node.running).map((node) => node.start()));
  }

  async close(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.kill()));
    await this.lines?.close();
    this.#namespaces?.close();
  }

  async #set(names: readonly string[], fault: LineFault): Promise<void> {
    if (!this.lines) throw new Error("this cluster was started without lines");
    await this.lines.set(names, fault);
  }

  #routeLines(): string[] {
    return this.nodes.flatMap((a) => this.nodes.filter((b) => b !== a).map((b) => routeLine(a, b)));
  }

  #clientLines(): string[] {
    return this.nodes.map(({ name }) => `clients>${name}`);
  }

  /** A server's own name belongs to its folder, so it is asked for. */
  async #serverNames(): Promise<ReadonlyMap<string, string>> {
    for (const node of this.nodes) {
      if (!node.running || this.#names.has(node.name)) continue;
      const about = (await node.monitor("varz")) as { server_name: string } | undefined;
      if (about) this.#names.set(node.name, about.server_name);
    }
    return this.#names;
  }
  readonly #names = new Map<string, string>();
}

const routeLine = (from: { name: string }, to: { name: string }): string => `${from.name}>${to.name}`;

async function somePorts(): Promise<Ports> {
  const [client, route, monitor, line] = [freePort(), freePort(), freePort(), freePort()];
  return { client: await client, route: await route, monitor: await monitor, line: await line };
}

const clientLines = (ports: ReadonlyMap<string, Ports>): LineOptions[] =>
  [...ports].map(([name, { line, client }]) => ({
    name: `clients>${name}`,
    port: line,
    target: client,
    client: true,
  }));

async function routesOf(
  names: readonly string[],
  ports: ReadonlyMap<string, Ports>,
): Promise<(LineOptions & { readonly from: string })[]> {
  const lines: (LineOptions & { readonly from: string })[] = [];
  for (const from of names)
    for (const to of names)
      if (from !== to)
        lines.push({
          from,
          name: routeLine({ name: from }, { name: to }),
          port: await freePort(),
          target: (ports.get(to) as Ports).route,
          client: false,
        });
  return lines;
}

/** The repository's own configuration, and what makes the server a node whose neighbours are behind lines. */
async function templateOf(
  name: string,
  ports: Ports,
  routes: readonly (LineOptions & { readonly from: string })[],
  lines: boolean,
): Promise<string> {
  const text = await readFile(templatePath(), "utf8");
  if (!lines) return text;
  const parts = [text, `client_advertise: "127.0.0.1:${ports.line}"`];
  const own = routes.filter(({ from }) => from === name);
  if (own.length > 0)
    parts.push(
      "cluster {",
      '  name: "faults"',
      `  listen: "127.0.0.1:${ports.route}"`,
      // Nodes tell each other where the others are; an address where nobody listens keeps them on the lines.
      '  advertise: "127.0.0.1:1"',
      `  routes: [${own.map(({ port }) => `"nats://127.0.0.1:${port}"`).join(", ")}]`,
      "}",
    );
  return `${parts.join("\n")}\n`;
}

/** The repository's own configuration with its cluster, each node at an address of its own. */
async function namespacedTemplate(
  name: string,
  ports: ReadonlyMap<string, Ports>,
  namespaces: Namespaces,
): Promise<string> {
  const at = (node: string, port: keyof Ports): string =>
    JSON.stringify(`${namespaces.addressOf(node)}:${(ports.get(node) as Ports)[port]}`);
  const others = [...ports.keys()].filter((other) => other !== name);
  const routes = others.map((other) => `"nats://${at(other, "route").slice(1)}`);
  return [
    await readFile(templatePath(), "utf8"),
    `http: ${at(name, "monitor")}`,
    `cluster { name: "faults", listen: ${at(name, "route")}, routes: [${routes.join(", ")}] }`,
    "",
  ].join("\n");
}
