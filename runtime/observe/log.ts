/** Structured logs. Message text and keys never go in; sessions are hashed before they do. */
import { type DestinationStream, type Logger, pino } from "pino";
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
    redact: {
      paths: ["key", "apiKey", "authorization", "*.apiKey", "*.authorization", "headers"],
      censor: "[hidden]",
    },
  };
  return options.destination
    ? pino(config, options.destination)
    : pino(config, pino.destination({ dest: 2, sync: true }));
}

/** A session as logs may show it: enough to follow one, too little to name it. */
export const sessionHash = (session: string): string => fnv1a(session).toString(16).padStart(8, "0");
