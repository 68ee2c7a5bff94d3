/**
 * Tools of a request. Their schemas are walked, never compiled: what a caller sends must not grow a cache of ours, and
 * the provider judges the rest.
 */
import { type Fields, fieldsOf, listIn, oneOf, refuse, textIn } from "./check.ts";

const TOOLS = 128;
const NAME = /^[A-Za-z0-9_-]{1,64}$/;
const DESCRIPTION_CHARS = 16_384;
/** Sub-schemas of all tools together, and how deep they nest. */
const SCHEMAS = 4_096;
const SCHEMA_DEPTH = 16;
const TYPES = ["object", "array", "string", "number", "integer", "boolean", "null"];
const IN_MAPS = ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];
const IN_LISTS = ["anyOf", "oneOf", "allOf", "prefixItems"];
const SINGLE = [
  "items",
  "additionalProperties",
  "not",
  "if",
  "then",
  "else",
  "contains",
  "propertyNames",
  "unevaluatedProperties",
];
const COUNTS = ["minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"];
const NUMBERS = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"];
const TEXTS = ["$ref", "title", "description", "format", "pattern", "$schema", "$id"];

export function checkTools(value: unknown): ReadonlySet<string> {
  const names = new Set<string>();
  const budget = { left: SCHEMAS };
  for (const [n, each] of listIn(value, "tools", 1, TOOLS).entries()) {
    const at = `tools[${n}]`;
    const tool = fieldsOf(each, at);
    oneOf(tool.type, `${at}.type`, ["function"]);
    const named = checkFunction(fieldsOf(tool.function, `${at}.function`), `${at}.function`, budget);
    if (names.has(named)) refuse(`${at}.function.name`, "two tools have the same name");
    names.add(named);
  }
  return names;
}

function checkFunction(
  { name, description, parameters, strict }: Fields,
  at: string,
  budget: { left: number },
): string {
  if (typeof name !== "string" || !NAME.test(name))
    refuse(`${at}.name`, "it must be 1 to 64 letters, digits, _ or -");
  if (description !== undefined && description !== null)
    textIn(description, `${at}.description`, DESCRIPTION_CHARS);
  if (strict !== undefined && strict !== null && typeof strict !== "boolean")
    refuse(`${at}.strict`, "it must be true or false");
  if (parameters !== undefined && parameters !== null) {
    const schema = fieldsOf(parameters, `${at}.parameters`);
    checkSchema(schema, `${at}.parameters`, 0, budget);
    if (schema.type !== undefined && schema.type !== "object")
      refuse(`${at}.parameters.type`, "it must be object");
  }
  return name;
}

/** A JSON schema by its shape: known types, lists where lists belong, schemas where schemas belong. */
export function checkSchema(value: unknown, at: string, depth: number, budget: { left: number }): void {
  if (typeof value === "boolean" && depth > 0) return;
  const schema = fieldsOf(value, at);
  if (depth > SCHEMA_DEPTH) refuse(at, `schemas nest at most ${SCHEMA_DEPTH} deep`);
  if (--budget.left < 0) refuse(at, `there are at most ${SCHEMAS} schemas in a request`);
  checkKeywords(schema, at);
  for (const key of SINGLE) {
    const inner = schema[key];
    if (inner === undefined) continue;
    if (key === "items" && Array.isArray(inner))
      for (const each of inner) checkSchema(each, `${at}.items`, depth + 1, budget);
    else checkSchema(inner, `${at}.${key}`, depth + 1, budget);
  }
  for (const key of IN_LISTS)
    if (schema[key] !== undefined)
      for (const each of listIn(schema[key], `${at}.${key}`, 1, SCHEMAS))
        checkSchema(each, `${at}.${key}`, depth + 1, budget);
  for (const key of IN_MAPS)
    if (schema[key] !== undefined)
      for (const each of Object.values(fieldsOf(schema[key], `${at}.${key}`)))
        checkSchema(each, `${at}.${key}`, depth + 1, budget);
}

function checkKeywords(schema: Fields, at: string): void {
  const { type, required, enum: values } = schema;
  if (type !== undefined)
    for (const each of Array.isArray(type) ? listIn(type, `${at}.type`, 1, TYPES.length) : [type])
      oneOf(each, `${at}.type`, TYPES);
  if (required !== undefined)
    for (const each of listIn(required, `${at}.required`, 0, SCHEMAS))
      textIn(each, `${at}.required`, DESCRIPTION_CHARS);
  if (values !== undefined) listIn(values, `${at}.enum`, 1, SCHEMAS);
  for (const key of COUNTS)
    if (schema[key] !== undefined && !(Number.isInteger(schema[key]) && (schema[key] as number) >= 0))
      refuse(`${at}.${key}`, "it must be a whole number from 0");
  for (const key of NUMBERS)
    if (schema[key] !== undefined && typeof schema[key] !== "number")
      refuse(`${at}.${key}`, "it must be a number");
  for (const key of TEXTS)
    if (schema[key] !== undefined) textIn(schema[key], `${at}.${key}`, DESCRIPTION_CHARS);
}

export function checkToolChoice(value: unknown, tools: ReadonlySet<string> | undefined): void {
  if (value === "none" || value === "auto" || value === "required") return;
  const choice = fieldsOf(value, "tool_choice");
  oneOf(choice.type, "tool_choice.type", ["function"]);
  const { name } = fieldsOf(choice.function, "tool_choice.function");
  if (typeof name !== "string" || !tools?.has(name))
    refuse("tool_choice.function.name", "there is no such tool");
}

export function checkResponseFormat(value: unknown): void {
  const format = fieldsOf(value, "response_format");
  if (oneOf(format.type, "response_format.type", ["text", "json_object", "json_schema"]) !== "json_schema")
    return;
  const { name, schema } = fieldsOf(format.json_schema, "response_format.json_schema");
  if (typeof name !== "string" || !NAME.test(name))
    refuse("response_format.json_schema.name", "it must be 1 to 64 letters, digits, _ or -");
  if (schema !== undefined && schema !== null)
    checkSchema(schema, "response_format.json_schema.schema", 0, { left: SCHEMAS });
}
