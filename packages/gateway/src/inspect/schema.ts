// Promises that a body which passes matches the JSON Schema of its operation. Schemas compile on first use and are kept by hash, because
// three hundred of them at once would stop the world for most of a second; definitions that several schemas share compile once for all of them.
// Trusts the snapshot's blobs. Specified by JSON Schema 2020-12.
import { createRequire } from "node:module";
import { placeInSchema, shareDefinitions } from "@sallyport/kernel/schema/shared-definitions.ts";
import type { Ajv2020, ErrorObject, ValidateFunction } from "ajv/dist/2020.js";

export interface SchemaVerdict {
  readonly valid: boolean;
  /** Where it does not match and why, as JSON Pointers and keywords; never a value from the body. */
  readonly why: string;
  /** The same for who sent it: the place in the value, where the schema alone names it, and what has to be there. Absent where it is valid. */
  readonly says?: string;
}

export interface SchemaSet {
  /** Checks a parsed body against the schema of that hash; throws SchemaFault when the schema itself is unusable. */
  check(id: string, value: unknown): SchemaVerdict;
}

export class SchemaFault extends Error {
  readonly code = "schema-unusable";
  readonly public = "The schema of this operation cannot be used";
}

export const schemasMax = 1024;
/** Shared definitions held compiled. */
export const definitionsMax = 4096;
const complaintCharactersMax = 300;

/** Lazily compiled schemas; `source` gives the JSON text of a hash, or undefined. */
export function createSchemaSet(source: (id: string) => string | undefined): SchemaSet {
  const compiled = new Map<string, ValidateFunction>();
  let shared = createSharedSchemas();
  const compile = (id: string): ValidateFunction => {
    const text = source(id);
    if (text === undefined) throw new SchemaFault(`schema ${id} is not in the snapshot`);
    if (compiled.size >= schemasMax || shared.size() >= definitionsMax) {
      compiled.clear();
      shared = createSharedSchemas();
    }
    let check: ValidateFunction;
    try {
      const schema: object = JSON.parse(text);
      // One instance for a schema that is not taken apart: an `$id` in one file must not be reachable from another.
      check = shared.compile(schema) ?? createAjv().compile(schema);
    } catch (cause) {
      throw new SchemaFault(`schema ${id} does not compile`, { cause });
    }
    compiled.set(id, check);
    return check;
  };
  return {
    check(id, value) {
      const validate = compiled.get(id) ?? compile(id);
      if (validate(value)) return { valid: true, why: "" };
      const first = validate.errors?.[0];
      const place = placeInSchema(first?.schemaPath ?? "#");
      const why = `${place}: ${first?.keyword ?? "schema"}`.slice(0, complaintCharactersMax);
      return { valid: false, why, says: saysOf(place, first).slice(0, complaintCharactersMax) };
    },
  };
}

/** `$.lines[*].weight must be integer`. Names and bounds are those of the schema: a pointer into the value could hold names that the caller chose. */
function saysOf(place: string, error: ErrorObject | undefined): string {
  const message = error?.message ?? "must match the schema";
  const named = valuePlace(place);
  return named === null ? `it ${message}` : `${named} ${message}`;
}

/** The place in a value that a place in its schema speaks of; null behind `$ref`, `anyOf` and whatever else is not one place. */
function valuePlace(pointer: string): string | null {
  const segments = pointer.split("/").slice(1, -1);
  let at = "$";
  while (segments.length > 0) {
    const keyword = segments.shift();
    if (keyword === "items") at += "[*]";
    else if (keyword === "prefixItems") at += `[${segments.shift()}]`;
    else if (keyword === "properties")
      at += `.${decodeURIComponent(segments.shift() ?? "")
        .replaceAll("~1", "/")
        .replaceAll("~0", "~")}`;
    else return null;
  }
  return at;
}

interface SharedSchemas {
  /** Null: the schema is not one whose definitions can be shared. */
  compile(schema: object): ValidateFunction | null;
  size(): number;
}

function createSharedSchemas(): SharedSchemas {
  let ajv: Ajv2020 | undefined;
  const known = new Set<string>();
  return {
    size: () => known.size,
    compile(schema) {
      const parts = shareDefinitions(schema);
      if (parts === null) return null;
      ajv ??= createAjv();
      const added = parts.definitions.filter(({ id }) => !known.has(id));
      try {
        for (const { id, schema: definition } of added) {
          ajv.addSchema(definition as object, id);
          known.add(id);
        }
        // The ones referred to first, so that a long chain does not compile as one nest.
        for (const { id } of added) ajv.getSchema(id);
        return ajv.compile(parts.root);
      } catch (cause) {
        // What did not compile stays half done in there.
        ajv = undefined;
        known.clear();
        throw cause;
      }
    },
  };
}

const load = createRequire(import.meta.url);

/** Loaded when the first body is held against a schema: its modules take a start as long as a hundred of ours. */
function createAjv(): Ajv2020 {
  // What the two packages declare of themselves; `require` is untyped.
  const { Ajv2020: Ajv } = load("ajv/dist/2020.js") as typeof import("ajv/dist/2020.js");
  const addFormats = load("ajv-formats") as (ajv: Ajv2020) => void;
  const ajv = new Ajv({ strict: false, allErrors: false, validateSchema: false, logger: false });
  addFormats(ajv);
  return ajv;
}
