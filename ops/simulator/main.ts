/** The command line of the simulator: flags in, a running server out. */
import { parseArgs } from "node:util";
import { JetclawError } from "#contracts/errors.ts";
import type { SimulatorOptions } from "./options.ts";
import { startSimulator } from "./server.ts";

const FLAGS = {
  port: { type: "string", default: "8000" },
  host: { type: "string" },
  model: { type: "string", multiple: true },
  "ttft-ms": { type: "string" },
  "tokens-per-second": { type: "string" },
  "prefix-cache": { type: "string" },
  "prefill-ms-per-1k-tokens": { type: "string" },
  concurrency: { type: "string" },
  "error-rate": { type: "string" },
  "hang-rate": { type: "string" },
  "half-stream-rate": { type: "string" },
  "garbage-rate": { type: "string" },
  status: { type: "string" },
  "retry-after": { type: "string" },
  seed: { type: "string" },
  "reply-bytes": { type: "string" },
  "batch-factor": { type: "string" },
  "batch-ms": { type: "string" },
  "batch-fail-rate": { type: "string" },
  "batch-expire-rate": { type: "string" },
  "batch-tokens": { type: "string" },
  "context-tokens": { type: "string" },
  "pace-ms": { type: "string" },
  "no-batch-api": { type: "boolean" },
  lengths: { type: "boolean" },
  cite: { type: "boolean" },
  "refuse-stream-options": { type: "boolean" },
} as const;

export const SIMULATOR_HELP = `jetclaw simulator [flags]: an OpenAI-compatible model server that fails on request

  --port 8000  --host 127.0.0.1  --model <name> (repeatable)  --seed 1
  --ttft-ms 0  --tokens-per-second 0 (at once)  --concurrency <n> (the rest waits)  --reply-bytes 200  --cite
  --prefix-cache 0 (prefixes of prompts remembered)  --prefill-ms-per-1k-tokens 0 (for what is not remembered)
  --error-rate 0  --status 500  --retry-after <seconds>  --hang-rate 0  --half-stream-rate 0  --garbage-rate 0
  --lengths (answers as long as "in 44 tokens" in the last message asks)  --pace-ms 5 (between writes of a stream)
  --refuse-stream-options  --context-tokens <n> (longer input is refused)
  --batch-factor 2: the time of a batch of 16 as a multiple of a single request's, linear between and beyond;
    --concurrency counts a batch as one
  --batch-ms 1000: how long a batch of /v1/batches takes, at half the price  --batch-fail-rate 0  --batch-expire-rate 0
  --batch-tokens <n> (of all that wait; one beyond fails)  --no-batch-api: there is none

GET /bill lists every request served, DELETE /bill forgets them.`;

/** Flags as options. `--status` without `--error-rate` fails every request. @throws JetclawError `config.invalid` */
export function parseFlags(argv: readonly string[]): Partial<SimulatorOptions> {
  const values = readFlags(argv);
  const number = (
    flag: Exclude<
      keyof typeof FLAGS,
      "host" | "model" | "lengths" | "cite" | "refuse-stream-options" | "no-batch-api"
    >,
    most = Number.MAX_SAFE_INTEGER,
  ) => {
    const text = values[flag];
    if (text === undefined) return undefined;
    const value = Number(text);
    if (text.trim() !== "" && value >= 0 && value <= most) return value;
    throw new JetclawError("config.invalid", `--${flag} takes a number from 0 to ${most}, not "${text}"`);
  };
  const options = {
    port: number("port", 65_535),
    host: values.host,
    models: values.model,
    ttftMs: number("ttft-ms"),
    tokensPerSecond: number("tokens-per-second"),
    prefixCache: number("prefix-cache", 1_000_000),
    prefillMsPer1kTokens: number("prefill-ms-per-1k-tokens"),
    concurrency: number("concurrency") || undefined,
    errorRate: number("error-rate", 1) ?? (values.status === undefined ? undefined : 1),
    hangRate: number("hang-rate", 1),
    halfStreamRate: number("half-stream-rate", 1),
    garbageRate: number("garbage-rate", 1),
    status: number("status", 599),
    retryAfter: number("retry-after"),
    seed: number("seed"),
    replyBytes: number("reply-bytes", 1_000_000),
    batchFactor: number("batch-factor"),
    batchApi: values["no-batch-api"] ? false : undefined,
    batchMs: number("batch-ms"),
    batchFailRate: number("batch-fail-rate", 1),
    batchExpireRate: number("batch-expire-rate", 1),
    batchTokens: number("batch-tokens"),
    contextTokens: number("context-tokens") || undefined,
    paceMs: number("pace-ms", 60_000),
    lengths: values.lengths,
    cite: values.cite,
    refuseStreamOptions: values["refuse-stream-options"],
  };
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

function readFlags(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: FLAGS, strict: true }).values;
  } catch (cause) {
    throw new JetclawError("config.invalid", cause instanceof Error ? cause.message : undefined, { cause });
  }
}

/** Runs until SIGINT or SIGTERM. */
export async function simulatorCommand(argv: readonly string[]): Promise<void> {
  if (argv.includes("--help")) return void process.stdout.write(`${SIMULATOR_HELP}\n`);
  const simulator = await startSimulator(parseFlags(argv));
  process.stdout.write(
    `Simulated models at ${simulator.baseUrl}, the bill at ${simulator.url}/bill. Ctrl-C stops.\n`,
  );
  await new Promise<void>((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve());
  });
  await simulator.close();
}

if (import.meta.main) await simulatorCommand(process.argv.slice(2));
