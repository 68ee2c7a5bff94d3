/**
 * The parts of a configuration that are code or belong to roles this version does not run yet. Their shape is checked
 * all the same, so that a mistake shows when the file is read and not months later.
 */
import { z } from "zod";
import type { Config } from "#contracts/config.ts";
import { JetclawError } from "#contracts/errors.ts";

const callable = z.custom<(...args: never[]) => unknown>(
  (value) => typeof value === "function",
  "a function",
);
const zodSchema = z.custom((value) => value instanceof Object && "safeParse" in value, "a zod schema");

const toolSchema = z.looseObject({
  name: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/),
  description: z.string().min(1),
  input: zodSchema,
  timeoutMs: z.number().int().positive().optional(),
  run: callable,
});
const channelSchema = z.union([
  z.looseObject({ name: z.string().min(1).max(64), receive: callable.optional(), deliver: callable }),
  z.looseObject({ type: z.literal("whatsapp"), phoneNumberId: z.string().min(1) }),
]);
const actorSchema = z.looseObject({
  kind: z.string().min(1),
  version: z.number().int().positive(),
  initial: callable,
  parse: callable,
  run: callable,
});

/** @throws JetclawError `config.invalid` naming the part. */
export function checkParts({ assistants, channels, actors }: Config): void {
  for (const [name, { tools }] of Object.entries(assistants))
    checkEach(tools, toolSchema, `assistants.${name}.tools`, "defineTool");
  checkEach(channels, channelSchema, "channels", "defineChannel or whatsapp");
  checkEach(actors, actorSchema, "actors", "defineActor");
}

function checkEach(values: readonly unknown[], schema: z.ZodType, key: string, made: string): void {
  for (const [index, value] of values.entries()) {
    const parsed = schema.safeParse(value);
    if (!parsed.success)
      throw new JetclawError(
        "config.invalid",
        `${key}[${index}] is not what ${made} makes: ${z.prettifyError(parsed.error)}`,
      );
  }
}

/** One honest line about what is accepted and does nothing yet. */
export function describeInactive({ assistants, budgets, channels }: Config): string[] {
  const entries = Object.entries(assistants);
  const parts = [
    ...entries.filter(([, { tools }]) => tools.length > 0).map(([name]) => `tools of ${name}`),
    ...entries.filter(([, { handover }]) => handover).map(([name]) => `hand-over of ${name}`),
    ...Object.keys(budgets).map((tenant) => `budget of ${tenant}`),
    ...channels.map((channel) => `channel ${nameOf(channel)}`),
  ];
  return parts.length > 0 ? [`Configured, but not active in this version: ${parts.join(", ")}.`] : [];
}

function nameOf(channel: unknown): string {
  const { name, type } = channel as { name?: string; type?: string };
  return name ?? type ?? "without a name";
}
