/** The commands' way to a gateway: HTTP with a key, problems turned into failures with a next step. */
import { Command, Option } from "commander";
import { readSettings } from "../settings.ts";
import { CliFailure, usage } from "./failure.ts";

export interface GatewayOptions {
  readonly url: string;
  readonly key: string;
}

interface Problem {
  readonly code?: string;
  readonly title?: string;
  readonly detail?: string;
  readonly next?: string;
  readonly traceId?: string;
}

const LIMIT_MS = 90_000;
/** What a header can carry of a key; anything else would look like a gateway that does not answer. */
const PRINTABLE = /^[\x21-\x7e]+$/;
const NAME_ANOTHER = "name another: --url http://host:port (or JETCLAW_URL).";

/** Adds `--url` and `--key` with their defaults from the environment. */
export function reachesGateway(command: Command): Command {
  return command
    .addOption(
      new Option("--url <url>", "address of the gateway (default: JETCLAW_URL, else http://127.0.0.1:8080)"),
    )
    .addOption(new Option("--key <key>", "API key (default: JETCLAW_KEY, else demo)"));
}

/** A subcommand for operators: through a gateway, or straight to NATS where there is none. */
export const adminSubcommand = (name: string, description: string): Command =>
  reachesGateway(new Command(name).description(description))
    .addOption(new Option("--nats <url>", "go to NATS directly, without a gateway"))
    .option("--json", "print JSON");

export function gatewayOf(options: { url?: string | undefined; key?: string | undefined }): GatewayOptions {
  const settings = readSettings();
  const url = (options.url ?? settings.url).replace(/\/+$/, "");
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    throw usage(
      `the address of the gateway is "${url}", not a URL such as http://127.0.0.1:8080`,
      "Correct --url, or JETCLAW_URL.",
    );
  const key = options.key ?? settings.key;
  if (!PRINTABLE.test(key))
    throw usage("the key holds a character that no key has", "Correct --key, or JETCLAW_KEY.");
  return { url, key };
}

export interface Asked {
  readonly method?: "GET" | "POST" | "PUT" | "DELETE";
  readonly body?: unknown;
  /** Content type of the body. */
  readonly type?: string;
  readonly signal?: AbortSignal;
  /** Statuses besides 2xx that are an answer. */
  readonly accept?: readonly number[];
}

export interface Answered {
  readonly status: number;
  readonly body: unknown;
}

/** @throws CliFailure */
export async function ask(gateway: GatewayOptions, path: string, asked: Asked = {}): Promise<Answered> {
  const limit = AbortSignal.timeout(LIMIT_MS);
  const { response, body } = await answered(`${gateway.url}${path}`, {
    method: asked.method ?? "GET",
    headers: {
      authorization: `Bearer ${gateway.key}`,
      ...(asked.body === undefined ? {} : { "content-type": asked.type ?? "application/json" }),
    },
    ...(asked.body === undefined ? {} : { body: JSON.stringify(asked.body) }),
    signal: asked.signal ? AbortSignal.any([asked.signal, limit]) : limit,
  }).catch((cause: unknown) => {
    if (asked.signal?.aborted) throw asked.signal.reason;
    throw unreachable(gateway, cause);
  });
  // A proxy's page, or another program at that port.
  if (response.ok && typeof body === "string" && body !== "")
    throw new CliFailure(`${gateway.url} answers, but it is no jetclaw gateway`, {
      next: `Stop it, or ${NAME_ANOTHER}`,
    });
  if (response.ok || asked.accept?.includes(response.status)) return { status: response.status, body };
  throw failureOf(gateway, response.status, body);
}

async function answered(url: string, request: RequestInit): Promise<{ response: Response; body: unknown }> {
  const response = await fetch(url, request);
  return { response, body: await bodyOf(response) };
}

async function bodyOf(response: Response): Promise<unknown> {
  const text = await response.text();
  if (!response.headers.get("content-type")?.includes("json")) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function unreachable(gateway: GatewayOptions, cause: unknown): CliFailure {
  return new CliFailure(`no gateway answers at ${gateway.url}`, {
    next: `Start one with \`jetclaw up\`, or ${NAME_ANOTHER}`,
    cause,
  });
}

function failureOf(gateway: GatewayOptions, status: number, body: unknown): CliFailure {
  const problem: Problem = body instanceof Object ? body : {};
  const said = [problem.title, problem.detail].filter(Boolean).join(" ");
  const next =
    status === 401
      ? `Name a key of this gateway: --key <key> (or JETCLAW_KEY). ${gateway.url} does not know the one used.`
      : problem.next;
  return new CliFailure(said || `${gateway.url} answers ${status}`, { code: problem.code, next, status });
}
