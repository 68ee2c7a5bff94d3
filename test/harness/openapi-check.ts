// Says where a value leaves a schema of an OpenAPI 3.1 document. The part of JSON Schema that such documents use.
export type Schema = Readonly<Record<string, unknown>>;

export interface CheckOptions {
  /** A field that an object does not name is a fault, also where the schema would let it pass. */
  readonly strict?: boolean;
}

export function openApiCheck(
  document: Schema,
  { strict = false }: CheckOptions = {},
): (name: string, value: unknown) => string[] {
  const schemas = ((document.components as Schema).schemas ?? {}) as Record<string, Schema>;
  const named = (ref: string): Schema => {
    const found = schemas[ref.replace("#/components/schemas/", "")];
    if (!found) throw new Error(`no schema ${ref}`);
    return found;
  };
  return (name, value) => faultsOf(value, named(name), name, { named, strict });
}

interface Check {
  readonly named: (ref: string) => Schema;
  readonly strict: boolean;
}

function faultsOf(value: unknown, schema: Schema, at: string, check: Check): string[] {
  if (value === null && schema.nullable === true) return [];
  // Beside a reference it is how OpenAPI 3.0 says "or null", not "or anything".
  if (schema.nullable === true && Object.keys(schema).length === 1) return [`${at} is not null`];
  if (typeof schema.$ref === "string") return faultsOf(value, check.named(schema.$ref), at, check);
  const faults: string[] = [];
  const { type, enum: values, required, properties, items, allOf } = schema;
  if (type !== undefined && ![type].flat().some((each) => isOf(value, each as string)))
    return [`${at}: ${JSON.stringify(value)?.slice(0, 60)} is no ${String(type)}`];
  if (Array.isArray(values) && !values.includes(value)) faults.push(`${at}: not one of ${values.join(", ")}`);
  for (const each of (allOf as Schema[] | undefined) ?? []) faults.push(...faultsOf(value, each, at, check));
  for (const options of [schema.anyOf, schema.oneOf] as (Schema[] | undefined)[]) {
    const tries = options?.map((each) => faultsOf(value, each, at, check));
    if (tries && !tries.some((each) => each.length === 0))
      faults.push(...(tries[0] ?? [`${at}: fits nothing`]));
  }
  if (Array.isArray(value) && items)
    for (const [n, each] of value.entries())
      faults.push(...faultsOf(each, items as Schema, `${at}[${n}]`, check));
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    const fields = value as Record<string, unknown>;
    for (const key of (required as string[] | undefined) ?? [])
      if (!(key in fields)) faults.push(`${at}.${key} is missing`);
    const known = (properties as Record<string, Schema> | undefined) ?? {};
    for (const [key, inner] of Object.entries(known))
      if (key in fields) faults.push(...faultsOf(fields[key], inner, `${at}.${key}`, check));
    if (check.strict && properties && !schema.additionalProperties)
      for (const key of Object.keys(fields)) if (!(key in known)) faults.push(`${at}.${key} is not known`);
  }
  return faults;
}

function isOf(value: unknown, type: string): boolean {
  if (type === "null") return value === null;
  if (type === "array") return Array.isArray(value);
  if (type === "integer") return Number.isInteger(value);
  if (type === "object") return typeof value === "object" && value !== null && !Array.isArray(value);
  return typeof value === type;
}
