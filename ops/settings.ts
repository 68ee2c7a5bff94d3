/** The process's environment, read once: every variable that jetclaw knows, with its default. */
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { JetclawError } from "#contracts/errors.ts";

export const DEFAULT_KEY = "demo";
export const DEFAULT_NATS_PORT = 14_222;

export interface Settings {
  /** Named by JETCLAW_CONFIG; undefined: looked for in the working folder. */
  readonly configPath: string | undefined;
  readonly host: string;
  readonly port: number;
  readonly dataDir: string;
  /** A NATS server that runs already; undefined: the embedded one. */
  readonly natsUrl: string | undefined;
  readonly natsPort: number;
  readonly natsSync: "1s" | "always";
  readonly natsServerBin: string | undefined;
  readonly cacheDir: string;
  /** Undefined: the command's own default. */
  readonly logLevel: string | undefined;
  /** Zero configuration: which model answers when the file declares no pool. */
  readonly model: {
    readonly name: string | undefined;
    readonly baseUrl: string | undefined;
    readonly apiKey: string | undefined;
  };
  readonly embeddings: { readonly url: string | undefined; readonly model: string | undefined };
  readonly qdrant: { readonly url: string | undefined; readonly apiKey: string | undefined };
  /** Of the S3-compatible server that turns are exported to. */
  readonly s3: {
    readonly endpoint: string | undefined;
    readonly region: string | undefined;
    readonly accessKeyId: string | undefined;
    readonly secretAccessKey: string | undefined;
    readonly sessionToken: string | undefined;
  };
  /** Where the commands reach a gateway, and with which key. */
  readonly url: string;
  readonly key: string;
  /** Variables that are set and look like ours, but that nothing here reads: misspelt, or of another version. */
  readonly unknown: readonly UnknownVariable[];
}

export interface UnknownVariable {
  readonly name: string;
  /** One that there is, and that may be meant. */
  readonly nearest: string | undefined;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** @throws JetclawError `config.invalid` naming the variable. */
export function readSettings(environment: Environment = process.env): Settings {
  const known = new Set<string>();
  const text = (name: string): string | undefined => {
    known.add(name);
    // A secret that was made of a file has the file's line end.
    return environment[name]?.trim() || undefined;
  };
  const host = text("JETCLAW_HOST") ?? "127.0.0.1";
  const port = portOf("JETCLAW_PORT", text("JETCLAW_PORT"), 8_080);
  const dataDir = resolve(text("JETCLAW_DATA_DIR") ?? ".jetclaw");
  const settings = {
    configPath: text("JETCLAW_CONFIG"),
    host,
    port,
    dataDir,
    natsUrl: text("JETCLAW_NATS_URL"),
    natsPort: portOf("JETCLAW_NATS_PORT", text("JETCLAW_NATS_PORT"), DEFAULT_NATS_PORT),
    natsSync: syncOf(text("JETCLAW_NATS_SYNC")),
    natsServerBin: text("NATS_SERVER_BIN"),
    cacheDir: text("JETCLAW_CACHE_DIR") ?? join(text("XDG_CACHE_HOME") ?? userCache() ?? dataDir, "jetclaw"),
    logLevel: levelOf(text("JETCLAW_LOG_LEVEL")),
    model: { name: text("JETCLAW_MODEL"), baseUrl: text("OPENAI_BASE_URL"), apiKey: text("OPENAI_API_KEY") },
    embeddings: { url: text("JETCLAW_EMBEDDINGS_URL"), model: text("JETCLAW_EMBEDDINGS_MODEL") },
    qdrant: { url: text("QDRANT_URL"), apiKey: text("QDRANT_API_KEY") },
    s3: {
      endpoint: text("AWS_ENDPOINT_URL"),
      region: text("AWS_REGION"),
      accessKeyId: text("AWS_ACCESS_KEY_ID"),
      secretAccessKey: text("AWS_SECRET_ACCESS_KEY"),
      sessionToken: text("AWS_SESSION_TOKEN"),
    },
    url: text("JETCLAW_URL") ?? urlOf(host, port || 8_080),
    key: text("JETCLAW_KEY") ?? DEFAULT_KEY,
  };
  return { ...settings, unknown: unknownOf(environment, known) };
}

/**
 * In each container of a namespace with a Service called `jetclaw` or `jetclaw-nats` Kubernetes sets JETCLAW_PORT or
 * JETCLAW_NATS_PORT to such an address, and half a dozen more.
 */
const SERVICE_ADDRESS = /^(tcp|udp|sctp):\/\//;
const OF_SERVICES = /_SERVICE_(HOST|PORT)(_|$)|_PORT_\d+_(TCP|UDP|SCTP)(_|$)/;

function unknownOf(environment: Environment, known: ReadonlySet<string>): UnknownVariable[] {
  const ours = [...known].filter((name) => name.startsWith("JETCLAW_"));
  return Object.entries(environment)
    .filter(([name, value]) => /^JETCLAW_/i.test(name) && !known.has(name) && value)
    .filter(([name, value = ""]) => !OF_SERVICES.test(name) && !SERVICE_ADDRESS.test(value))
    .map(([name]) => ({ name, nearest: nearestOf(name.toUpperCase(), ours) }));
}

/** A word too many or too few leaves most pairs of letters as they are; two letters in the wrong order leave the letters. */
function nearestOf(name: string, known: readonly string[]): string | undefined {
  const lettersOf = (each: string): string[] => [...each.slice("JETCLAW".length).replaceAll("_", "")];
  const pairsOf = (letters: readonly string[]): string[] =>
    letters.slice(1).map((letter, n) => `${letters[n]}${letter}`);
  const letters = lettersOf(name);
  const [nearest] = known
    .map((each) => {
      const others = lettersOf(each);
      const pairs = likeness(pairsOf(letters), pairsOf(others));
      return { each, like: Math.max(pairs, likeness(letters, others) - MOVED) };
    })
    .filter(({ like }) => like >= ALIKE)
    .sort((a, b) => b.like - a.like);
  return nearest?.each;
}

const ALIKE = 0.6;
/** The same letters say less than the same pairs. */
const MOVED = 0.25;

/** The share of what both hold, 0 to 1. */
function likeness(these: readonly string[], those: readonly string[]): number {
  const left = [...those];
  const shared = these.filter((each) => {
    const at = left.indexOf(each);
    if (at >= 0) left.splice(at, 1);
    return at >= 0;
  });
  return (2 * shared.length) / (these.length + those.length);
}

/** Where what listens on an address is reached from this machine. */
export function urlOf(host: string, port: number): string {
  const reachable = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
  return `http://${reachable.includes(":") ? `[${reachable}]` : reachable}:${port}`;
}

/** Undefined for a user without a home, as containers may have. */
function userCache(): string | undefined {
  try {
    return join(homedir(), ".cache");
  } catch {
    return undefined;
  }
}

/** What a process of a running deployment connects to when nothing is named: the server that `up` runs. */
export const natsUrlOf = (settings: Settings): string =>
  settings.natsUrl ?? `nats://127.0.0.1:${settings.natsPort || DEFAULT_NATS_PORT}`;

function portOf(name: string, value: string | undefined, fallback: number): number {
  if (value === undefined || SERVICE_ADDRESS.test(value)) return fallback;
  const port = Number(value);
  if (Number.isInteger(port) && port >= 0 && port <= 65_535) return port;
  throw new JetclawError("config.invalid", `${name} is "${value}", not a port from 0 to 65535`);
}

function syncOf(value: string | undefined): "1s" | "always" {
  if (value === undefined || value === "1s") return "1s";
  if (value === "always") return "always";
  throw new JetclawError("config.invalid", `JETCLAW_NATS_SYNC is "${value}"; it is "1s" or "always"`);
}

const LEVELS = ["fatal", "error", "warn", "info", "debug", "trace", "silent"];
function levelOf(value: string | undefined): string | undefined {
  if (value === undefined) return undefined;
  if (LEVELS.includes(value)) return value;
  throw new JetclawError(
    "config.invalid",
    `JETCLAW_LOG_LEVEL is "${value}"; it is one of ${LEVELS.join(", ")}`,
  );
}

/**
 * A NATS URL with its credentials apart: the client takes them separately and they stay out of every message.
 * @throws JetclawError `config.invalid`
 */
export function splitNatsUrl(url: string): {
  servers: string[];
  credentials: { user?: string; pass?: string; token?: string };
} {
  let credentials: { user?: string; pass?: string; token?: string } = {};
  const servers = url.split(",").map((each) => {
    const match = /^((?:nats|tls|ws|wss):\/\/)?(?:(.*)@)?([^@]+)$/.exec(each.trim());
    if (!match)
      throw new JetclawError("config.invalid", "the NATS URL names no server; write nats://host:port");
    const [, scheme = "nats://", secret, rest = ""] = match;
    const server = `${scheme}${rest.replace(/\/+$/, "")}`;
    if (rest.includes("://") || !URL.canParse(server))
      throw new JetclawError("config.invalid", `"${rest}" is no NATS server; write nats://host:port`);
    if (secret) {
      const [user = "", ...pass] = secret.split(":").map(unescaped);
      credentials = pass.length > 0 ? { user, pass: pass.join(":") } : { token: user };
    }
    return server;
  });
  return { servers, credentials };
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new JetclawError(
      "config.invalid",
      "user or password of the NATS URL hold a % that begins no escape; write it as %25",
    );
  }
}
