/** The few checks that all parts of a request are made of: flat, bounded, and each refusal names its parameter. */
import { OpenAiRefusal } from "./errors.ts";

export type Fields = Readonly<Record<string, unknown>>;

export function refuse(param: string, what: string): never {
  throw new OpenAiRefusal(`Invalid '${param}': ${what}.`, { param, code: "invalid_value" });
}

export function fieldsOf(value: unknown, param: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    refuse(param, "it must be an object");
  return value as Fields;
}

export function numberIn(value: unknown, param: string, least: number, most: number): number {
  if (typeof value !== "number" || !(value >= least && value <= most))
    refuse(param, `it must be a number from ${least} to ${most}`);
  return value;
}

export function wholeIn(value: unknown, param: string, least: number, most: number): number {
  if (!Number.isInteger(value) || (value as number) < least || (value as number) > most)
    refuse(param, `it must be a whole number from ${least} to ${most}`);
  return value as number;
}

export function textIn(value: unknown, param: string, most: number): string {
  if (typeof value !== "string") refuse(param, "it must be a text");
  if (value.length > most) refuse(param, `it must have at most ${most} characters`);
  return value;
}

export function listIn(value: unknown, param: string, least: number, most: number): readonly unknown[] {
  if (!Array.isArray(value)) refuse(param, "it must be a list");
  if (value.length < least || value.length > most) refuse(param, `it must have ${least} to ${most} entries`);
  return value;
}

export function oneOf(value: unknown, param: string, allowed: readonly string[]): string {
  if (typeof value !== "string" || !allowed.includes(value))
    refuse(param, `it must be one of ${allowed.join(", ")}`);
  return value;
}
