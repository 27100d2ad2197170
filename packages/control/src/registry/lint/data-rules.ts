// Promises to find data that crosses unchecked or unlabelled, and data that stands where logs and proxies keep it. Pure. Pages: docs/lint.
import {
  type Hit,
  isSensitive,
  type OperationSubject,
  onIntegrations,
  onOperations,
  onSystems,
  type Rule,
} from "./rule.ts";
import { looseParts, propertyNames } from "./schema-parts.ts";

const personal =
  /^(e?mail(_?address)?|phone(_?(no|number))?|mobile|ssn|social_?security(_?number)?|tax_?id|passport(_?(no|number))?|iban|birth_?(date|day)|date_?of_?birth|dob|first_?name|last_?name|sur_?name|full_?name|home_?address|street|patient(_?id)?|diagnosis|national_?id|driver_?licen[cs]e)$/i;
const card = /^(card_?(no|number)|pan|cvv|cvc|credit_?card|card_?holder)$/i;
const secret =
  /^((access_?|refresh_?|id_?|auth_?|api_?|session_?|reset_?|csrf_?)?token|api_?key|pass(word|wd|phrase|code)?|pwd|secret|client_?secret|otp|pin|session(_?id)?|jwt|signature|sig)$/i;
const effectWord =
  /^(create|delete|remove|update|cancel|send|approve|reject|pay|charge|refund|transfer|execute|run|trigger|reset|revoke|disable|enable|activate|deactivate|add|set|submit|publish|purge|drop|restart|shutdown)$/;

export const dataRules: readonly Rule[] = [
  {
    id: "effect-without-schema",
    severity: "warning",
    title: "An operation with an effect takes a body that nobody checks",
    why: "Whatever a caller sends reaches the provider: extra members that set what should not be set, texts of any length, values of any type.",
    fix: "add `body: { schema: … }`, inline or as a file",
    waivable: true,
    check: onOperations(
      ({ operation, isEffect, at }) =>
        isEffect &&
        operation.body?.content === "json" &&
        operation.body.schema === undefined && {
          at: at("match"),
          message: `\`${operation.name}\` takes JSON of any shape`,
          severity: isSensitive(operation) ? "warning" : "info",
        },
    ),
  },
  {
    id: "schema-open",
    severity: "warning",
    title: "A schema accepts members it does not name",
    why: "Members that nobody declared reach the provider, which may bind them to fields a caller must not set (mass assignment), and their data class is unknown.",
    fix: "add `additionalProperties: false`",
    waivable: true,
    check: onSchemas((schema) => looseParts(schema).open, "accepts members that are not named"),
  },
  {
    id: "schema-unbounded-text",
    severity: "warning",
    title: "A schema has texts without a bound",
    why: "A text may be as long as the whole body allows: it fills columns, logs and memory behind the gateway.",
    fix: "add `maxLength`, or `enum`, `const` or a fixed `format`",
    waivable: true,
    check: onSchemas((schema) => looseParts(schema).texts, "has no `maxLength`"),
  },
  {
    id: "schema-unbounded-list",
    severity: "warning",
    title: "A schema has lists without a bound",
    why: "A list of a hundred thousand items makes the provider do a hundred thousand times the work of one call.",
    fix: "add `maxItems`",
    waivable: true,
    check: onSchemas((schema) => looseParts(schema).lists, "has no `maxItems`"),
  },
  {
    id: "schema-accepts-anything",
    severity: "warning",
    title: "A schema that checks nothing",
    why: "An empty schema looks like a check in every review and is none.",
    fix: "say what the body is, or remove the schema and live with `effect-without-schema`",
    waivable: true,
    check: onOperations(({ operation, at }) => {
      const schema = operation.body?.schema;
      if (typeof schema !== "object" || schema === null) return [];
      const telling = Object.keys(schema).filter(
        (key) => !["$schema", "$id", "title", "description", "$defs"].includes(key),
      );
      return telling.length === 0 && { at: at("body", "schema"), message: "the schema accepts everything" };
    }),
  },
  {
    id: "data-unclassified",
    severity: "info",
    title: "A system says of no operation which data crosses",
    why: "Everything counts as internal then: staleness bounds, bearer rules and reviews treat an address book like a clock.",
    fix: "add `data: [pii]` and the like, or mark fields in the schema with `x-data-class`",
    waivable: true,
    check: onSystems(
      ({ system, at }) =>
        system.operations.length > 0 &&
        system.operations.every(({ classification }) => classification === "internal") && {
          at: at("operations"),
          message: `no operation of \`${system.id}\` says which data classes cross`,
        },
    ),
  },
  {
    id: "personal-data-unlabelled",
    severity: "warning",
    title: "Fields that look personal carry no data class",
    why: "A mail address or a card number counts as internal until somebody says otherwise.",
    fix: "mark the field in the schema: `x-data-class: pii` or `payment`",
    waivable: true,
    check: onOperations(({ operation, at }) => {
      if (isSensitive(operation)) return [];
      const [name] = propertyNames(operation.body?.schema).filter((found) => personal.test(found) || card.test(found));
      return (
        name !== undefined && { at: at("body", "schema"), message: `\`${name}\` looks personal and has no data class` }
      );
    }),
  },
  {
    id: "personal-data-in-url",
    severity: "warning",
    title: "Personal data stands in a path or a query",
    why: "URLs are kept: in the provider's access log, in proxies, in browsers, in monitoring. A body is not.",
    fix: "name the object by an id of its own, or send the value in a body",
    waivable: true,
    check: onOperations((subject) =>
      urlNames(subject)
        .filter(({ name }) => personal.test(name) || card.test(name))
        .map(({ name, at }) => ({ at, message: `\`${name}\` becomes part of the URL` })),
    ),
  },
  {
    id: "secret-in-url",
    severity: "error",
    title: "A secret stands in a path or a query",
    why: "URLs are kept in logs everywhere; a token or a password in one is known to everybody who reads them.",
    fix: "send it in a header or a body, and treat the values used so far as leaked",
    waivable: true,
    check: onOperations((subject) =>
      urlNames(subject)
        .filter(({ name }) => secret.test(name))
        .map(({ name, at }) => ({ at, message: `\`${name}\` becomes part of the URL` })),
    ),
  },
  {
    id: "effect-behind-get",
    severity: "warning",
    title: "A GET that looks like an effect",
    why: "GET is repeated by clients, prefetched by browsers and counts as a read here: no intent is recorded before it, and rules for effects do not see it.",
    fix: "serve it under POST, PUT, PATCH or DELETE, or name it for what it reads",
    waivable: true,
    check: onOperations(({ operation, isEffect, at }) => {
      if (isEffect) return [];
      const last = operation.path.split("/").findLast((segment) => segment !== "" && !segment.startsWith("{")) ?? "";
      const verb = [operation.name.split(".").at(-1) ?? "", ...last.toLowerCase().split(/[-_:]/).slice(0, 1)].find(
        (word) => effectWord.test(word),
      );
      return verb !== undefined && { at: at("match"), message: `${operation.method} that seems to ${verb} something` };
    }),
  },
  {
    id: "offline-sensitive",
    severity: "error",
    title: "A sensitive operation is served without news from the control plane",
    why: "With `offline: until-expiry` a revoked caller keeps its access while a gateway is cut off, for as long as the snapshot lasts.",
    fix: "remove `offline`, so that the bound of the classification holds",
    waivable: true,
    check: onOperations(
      ({ operation, at }) =>
        operation.offline === "until-expiry" &&
        isSensitive(operation) && {
          at: at("offline"),
          message: `\`${operation.name}\` is ${operation.classification} and outlives a revocation`,
          severity: operation.classification === "restricted" ? "error" : "warning",
        },
    ),
  },
  {
    id: "answer-withheld",
    severity: "warning",
    title: "An integration grants an operation whose answers it may not read",
    why: "A field of the answer is labelled `restricted` or `secret` and the integration does not name that class: an answer that holds it ends as `response-leak`, and the consumer gets nothing.",
    fix: "name the class in `data` of the integration if the consumer must read it, or take the field out with `redact`",
    waivable: true,
    check: onIntegrations(({ integration, granted, at }) =>
      granted.flatMap(({ name, response }): readonly Hit[] => {
        const redacts = integration.operations.some((one) => one.name === name && one.redact !== undefined);
        // Which places a path takes out is not worked out here.
        if (response === undefined || response.redact.length > 0 || redacts) return [];
        const labelled = new Set(response.labels?.flatMap(({ classes }) => classes ?? []));
        const missing = (["restricted", "secret"] as const).filter(
          (one) => labelled.has(one) && integration.data?.includes(one) !== true,
        );
        const message = `answers of \`${name}\` hold ${missing.join(" and ")} data, which it is not classified for`;
        return missing.length === 0 ? [] : [{ at: at("operations"), message }];
      }),
    ),
  },
  {
    id: "body-opaque",
    severity: "warning",
    title: "A body passes unread, and nobody says why",
    why: "What is not looked into is what the caller makes of it: another type than it says, a bomb, a document that fetches.",
    fix: "declare it as JSON, `form`, `multipart` or `xml`, or write `reason` beside `contentType`",
    waivable: true,
    check: onOperations(
      ({ operation, at }) =>
        operation.body?.content === "opaque" &&
        operation.body.reason === undefined &&
        operation.grpc === undefined && {
          at: at("body", "contentType"),
          message: `${operation.body.contentType} streams through \`${operation.name}\` unread`,
        },
    ),
  },
  {
    id: "sensitive-opaque-body",
    severity: "info",
    title: "A sensitive body passes unread",
    why: "What is not JSON streams through: its shape and its fields are the provider's to check alone.",
    fix: "take JSON where you can, or have the provider check what comes",
    waivable: true,
    check: onOperations(
      ({ operation, at }) =>
        operation.body?.content === "opaque" &&
        isSensitive(operation) && {
          at: at("body", "contentType"),
          message: `${operation.body.contentType} is not looked into`,
        },
    ),
  },
];

function onSchemas(parts: (schema: unknown) => readonly string[], what: string): NonNullable<Rule["check"]> {
  return onOperations(({ operation, at }): readonly Hit[] => {
    const [first, ...rest] = parts(operation.body?.schema);
    if (first === undefined) return [];
    const more = rest.length === 0 ? "" : `, nor has it at ${rest.length} more places`;
    const message = `the body at ${first} ${what}${more}`;
    return [{ at: at("body", "schema"), message, severity: isSensitive(operation) ? "warning" : "info" }];
  });
}

/** What becomes part of a URL: path parameters, and query parameters that attributes name. */
function urlNames({ operation, at }: OperationSubject): { readonly name: string; readonly at: Hit["at"] }[] {
  const inPath = [...operation.path.matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => ({ name, at: at("match") }));
  const inQuery = Object.entries(operation.attributes)
    .filter(([, { from }]) => from === "query")
    .map(([attribute, { name }]) => ({ name, at: at("attributes", attribute) }));
  return [...inPath, ...inQuery];
}
