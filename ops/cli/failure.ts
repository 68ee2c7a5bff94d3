/** How a command fails: one clear line, the next step, and an exit code. */
import { CommanderError } from "commander";
import { ERRORS, JetclawError } from "#contracts/errors.ts";
import { JetclawClientError } from "../package/client/http.ts";

/** A failure that a command explains itself. */
export class CliFailure extends Error {
  readonly next: string | undefined;
  readonly exitCode: number;
  readonly code: string | undefined;
  /** HTTP status, where a gateway said no. */
  readonly status: number | undefined;

  constructor(
    message: string,
    options: {
      next?: string | undefined;
      exitCode?: number;
      code?: string | undefined;
      status?: number | undefined;
      cause?: unknown;
    } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "CliFailure";
    this.next = options.next;
    this.exitCode = options.exitCode ?? EXIT.failed;
    this.code = options.code;
    this.status = options.status;
  }
}

export const EXIT = { ok: 0, failed: 1, usage: 2 } as const;

/** The mistake is in what was typed. */
export const usage = (message: string, next?: string): CliFailure =>
  new CliFailure(message, { next, exitCode: EXIT.usage });

/** Writes what went wrong to standard error. @returns the exit code */
export function reportFailure(error: unknown): number {
  if (error instanceof CommanderError) {
    // Help and version come as errors of code 0; commander has written its own line for all of them.
    return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  }
  const { line, next, exitCode } = explain(error);
  process.stderr.write(`jetclaw: ${line}\n${next ? `  ${next}\n` : ""}`);
  return exitCode;
}

function explain(error: unknown): { line: string; next: string | undefined; exitCode: number } {
  if (error instanceof CliFailure) {
    const line = error.code ? `${error.code}: ${error.message}` : error.message;
    return { line, next: error.next, exitCode: error.exitCode };
  }
  if (error instanceof JetclawClientError)
    return { line: error.message, next: nextOfClient(error), exitCode: EXIT.failed };
  if (error instanceof JetclawError)
    return { line: error.message, next: nextOf(error), exitCode: EXIT.failed };
  if (error instanceof Error) {
    const [line = "", ...rest] = error.message.split("\n");
    return { line: line || error.name, next: rest.join("\n  ") || undefined, exitCode: EXIT.failed };
  }
  return { line: String(error), next: undefined, exitCode: EXIT.failed };
}

/** A detail that already says what to do is enough. */
function nextOf({ code, detail }: JetclawError): string | undefined {
  if (code === "nats.unavailable" && detail?.endsWith("no answer in time"))
    return "That server is frozen or very busy, or the network loses what is sent. jetclaw doctor --nats <url> tells which.";
  if (code === "nats.unavailable" && detail?.startsWith("cannot connect"))
    return "Start one with `jetclaw up`, or name a running one: JETCLAW_NATS_URL=nats://host:port. See also: jetclaw doctor";
  return detail && (code === "config.invalid" || code === "start.refused") ? undefined : ERRORS[code].next;
}

function nextOfClient({ code, next }: JetclawClientError): string | undefined {
  if (code === "auth.missing") return "Name a key of this gateway: --key <key> (or JETCLAW_KEY).";
  return code.startsWith("client.")
    ? "Start a gateway with `jetclaw up`, or name another: --url http://host:port (or JETCLAW_URL)."
    : next;
}
