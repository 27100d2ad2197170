// Promises to hold an event against the facts of OCSF 1.5 without a network: classes, attributes, types, enumerations, what is required and what must
// be there at least once. Trusts ocsf-1.5.json for the facts. For tests; the schema itself is at schema.ocsf.io.
import { readFileSync } from "node:fs";

type Attributes = Readonly<Record<string, string>>;
interface Shape {
  readonly attributes: Attributes;
  readonly atLeastOne?: readonly string[];
}
interface Facts {
  readonly base: Attributes;
  readonly profiles: Readonly<Record<string, Attributes>>;
  readonly classes: Readonly<Record<string, Shape & { readonly category: number }>>;
  readonly objects: Readonly<Record<string, Shape>>;
}

// Our own file, read as it was written.
const facts = JSON.parse(readFileSync(new URL("./ocsf-1.5.json", import.meta.url), "utf8")) as Facts;

type Event = Readonly<Record<string, unknown>>;

/** What is wrong with an event; nothing where it is valid. */
export function ocsfErrors(event: Event): readonly string[] {
  const found = facts.classes[String(event["class_uid"])];
  if (found === undefined) return [`there is no class ${String(event["class_uid"])} in the facts`];
  const errors: string[] = [];
  const metadata = (event["metadata"] ?? {}) as { readonly profiles?: readonly string[] };
  const profiles = (metadata.profiles ?? []).flatMap((name) => {
    if (facts.profiles[name] === undefined) errors.push(`there is no profile ${name}`);
    return Object.entries(facts.profiles[name] ?? {});
  });
  const attributes = { ...facts.base, ...Object.fromEntries(profiles), ...found.attributes };
  checkShape(
    event,
    { attributes, ...(found.atLeastOne === undefined ? {} : { atLeastOne: found.atLeastOne }) },
    "",
    errors,
  );
  if (event["category_uid"] !== found.category) errors.push(`category_uid is not ${found.category}`);
  const type = Number(event["class_uid"]) * 100 + Number(event["activity_id"]);
  if (event["type_uid"] !== type) errors.push(`type_uid is not ${type}`);
  // OCSF: with 99 (Other) the name says what it is.
  if (event["activity_id"] === 99 && typeof event["activity_name"] !== "string")
    errors.push("activity 99 without activity_name");
  return errors;
}

function checkShape(value: Event, shape: Shape, path: string, errors: string[]): void {
  for (const [name, said] of Object.entries(shape.attributes)) {
    if (said.includes("!") && value[name] === undefined) errors.push(`${path}${name} is required`);
  }
  for (const [name, given] of Object.entries(value)) {
    const said = shape.attributes[name];
    if (said === undefined) errors.push(`${path}${name} is no attribute here`);
    else checkValue(given, said, `${path}${name}`, errors);
  }
  const { atLeastOne } = shape;
  if (atLeastOne?.every((name) => value[name] === undefined))
    errors.push(`${path} has none of ${atLeastOne.join(", ")}`);
}

function checkValue(value: unknown, said: string, path: string, errors: string[]): void {
  const [head = "", values] = said.split("=");
  const type = head.replace(/!$/, "");
  if (type.endsWith("[]")) {
    if (!Array.isArray(value) || value.length === 0) errors.push(`${path} is no list of something`);
    else for (const one of value) checkValue(one, type.slice(0, -2), `${path}[]`, errors);
    return;
  }
  const object = facts.objects[type];
  if (object !== undefined) {
    if (typeof value === "object" && value !== null && !Array.isArray(value))
      checkShape({ ...value }, object, `${path}.`, errors);
    else errors.push(`${path} is no object`);
    return;
  }
  if (!isOf(type, value)) errors.push(`${path} is not ${type}`);
  if (values !== undefined && !values.split(",").includes(String(value)))
    errors.push(`${path} is not one of ${values}`);
}

function isOf(type: string, value: unknown): boolean {
  if (type === "string") return typeof value === "string" && value !== "";
  if (type === "boolean") return typeof value === "boolean";
  if (type === "json") return typeof value === "object" && value !== null;
  return Number.isSafeInteger(value) && (type !== "timestamp" || Number(value) > 1_000_000_000_000);
}
