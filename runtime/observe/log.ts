/** Structured logs. Message text and keys never go in; sessions are hashed before they do. */
import { type DestinationStream, type Logger, pino } from "pino";
import { JetclawError } from "#contracts/errors.ts";
import { fnv1a } from "#contracts/ids.ts";

export type Log = Logger;

export interface LogOptions {
  readonly level?: string;
  readonly role?: string;
  readonly destination?: DestinationStream;
}

/** JSON lines on standard error unless a destination is given. */
export function createLog(options: LogOptions = {}): Log {
  const config = {
    level: options.level ?? "info",
    base: options.role ? { role: options.role } : {},
    serializers: { err: errorForLog },
    redact: {
      paths: ["key", "apiKey", "authorization", "*.apiKey", "*.authorization", "headers"],
      censor: "[hidden]",
    },
  };
  return options.destination
    ? pino(config, options.destination)
    : pino(config, pino.destination({ dest: 2, sync: true }));
}

/** Code and causes explain what is expected to happen; a stack belongs to what nobody expected. */
function errorForLog(error: Error): object {
  const told = pino.stdSerializers.err(error);
  if (!(error instanceof JetclawError) || error.code === "internal.bug") return told;
  const { stack: _, ...rest } = told;
  return rest;
}

/** A session as logs may show it: enough to follow one, too little to name it. */
export const sessionHash = (session: string): string => fnv1a(session).toString(16).padStart(8, "0");
