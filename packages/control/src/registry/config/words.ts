// Promises the small words of the configuration (ids, durations, sizes, rates, dates, matches) as typed values or a sentence with the fix.
// Trusts nothing. Specified in docs/configuration.md "Words".
import { parseAddress } from "@sallyport/kernel/dial/address.ts";
import { sha256 } from "@sallyport/kernel/log/log-crypto.ts";
import { ProxyNetworkFault, trustedProxies } from "@sallyport/kernel/trusted-proxies.ts";
import { NameFault, parseName, printName } from "@sallyport/kernel/x509/distinguished-name.ts";
import { parseWitnessKey } from "@sallyport/protocol/audit/cosignature.ts";
import { parseVerifierKey } from "@sallyport/protocol/audit/note.ts";
import { claimText } from "@sallyport/protocol/token/claim-types.ts";
import { z } from "zod";
import { idMax, textMax } from "./bounds.ts";

type Read<T> = { readonly value: T } | { readonly refused: string; readonly fix: string };

/** A text that is parsed: zod sees a string going in and the parsed value coming out. */
export function word<T>(read: (text: string) => Read<T>) {
  return z.string().transform((text, context): T => {
    const result = read(text);
    if ("value" in result) return result.value;
    context.issues.push({ code: "custom", message: result.refused, params: { fix: result.fix }, input: text });
    return z.NEVER;
  });
}

const refuse = (refused: string, fix: string) => ({ refused, fix });

export const reservedIds: ReadonlySet<string> = new Set(["token", "secret", "sallyport"]);

/** Why a text cannot be an id, or null when it can. */
export function refuseId(text: string): { refused: string; fix: string } | null {
  if (reservedIds.has(text)) return refuse(`\`${text}\` is reserved`, "choose another id");
  if (text.length > idMax) return refuse(`an id has at most ${idMax} characters`, "choose a shorter id");
  if (!/^[a-z][a-z0-9-]*$/.test(text)) {
    return refuse("not an id", "use lower-case letters, digits and `-`, beginning with a letter");
  }
  return null;
}

export const id = () => word((text) => refuseId(text) ?? { value: text });

export const operationName = () =>
  word((text) =>
    text.length <= idMax * 2 && /^[a-z][a-z0-9_-]*(\.[a-z][a-z0-9_-]*)*$/.test(text)
      ? { value: text }
      : refuse(
          "not the name of an operation",
          "use lower-case words joined by dots, for example `invoice.create`; there are no wildcards",
        ),
  );

/** `billing:invoice.create` */
export const fullOperationName = () =>
  word((text) =>
    text.length <= idMax * 3 && /^[a-z][a-z0-9-]*:[a-z][a-z0-9_-]*(\.[a-z][a-z0-9_-]*)*$/.test(text)
      ? { value: text }
      : refuse(
          "not the full name of an operation",
          "write `<system>:<operation>`, for example `billing:invoice.create`; there are no wildcards",
        ),
  );

export const attributeName = () =>
  word((text) =>
    text.length <= idMax && /^[a-z][A-Za-z0-9_]*$/.test(text) && !cedarWords.has(text)
      ? { value: text }
      : refuse(
          "not the name of an attribute",
          "use letters, digits and `_`, beginning with a lower-case letter (Cedar identifiers)",
        ),
  );

/** Words Cedar does not allow as identifiers. */
const cedarWords = new Set(["true", "false", "if", "then", "else", "in", "is", "like", "has"]);

export const owner = () =>
  word((text) => {
    const name = /^team:(.+)$/.exec(text)?.[1];
    if (name === undefined) return refuse("not an owner", "write `team:<id>`; people come and go, teams own");
    const refused = refuseId(name);
    return refused === null ? { value: text } : refuse("not the id of a team", refused.fix);
  });

/** `10.1.2.3`, `10.1.0.0/16`, `fd00:1::/64`: whose word about requests is believed. */
export const proxyNetwork = () =>
  word((text) => {
    try {
      trustedProxies([text], "x-forwarded-for");
      return { value: text };
    } catch (fault) {
      if (!(fault instanceof ProxyNetworkFault)) throw fault;
      return refuse(fault.message, fault.fix);
    }
  });

export const prose = () =>
  word((text) =>
    text.trim().length > 0 && text.length <= textMax
      ? { value: text }
      : refuse("empty", "write a sentence that a reviewer understands"),
  );

const durations: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `250ms`, `3s`, `5m`, `1h`, `30d` within bounds, as milliseconds. */
export const duration = (bounds: { readonly minMs: number; readonly maxMs: number; readonly says: string }) =>
  word((text) => {
    const [, digits, unit] = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text) ?? [];
    const factor = durations[unit ?? ""];
    if (digits === undefined || factor === undefined)
      return refuse("not a duration", "write a whole number and `ms`, `s`, `m`, `h` or `d`, for example `3s`");
    const valueMs = Number(digits) * factor;
    return valueMs >= bounds.minMs && valueMs <= bounds.maxMs
      ? { value: valueMs }
      : refuse("out of range", `choose ${bounds.says}`);
  });

/** `512B`, `64KiB`, `1MiB` as bytes, at most 16 MiB. */
export const size = () =>
  word((text) => {
    const [, digits, unit] = /^(\d{1,9})(B|KiB|MiB)$/.exec(text) ?? [];
    if (digits === undefined || unit === undefined)
      return refuse("not a size", "write a whole number and `B`, `KiB` or `MiB`, for example `64KiB`");
    const value = Number(digits) * (unit === "B" ? 1 : unit === "KiB" ? 1024 : 1024 * 1024);
    return value <= bodyBytesMaxMax ? { value } : refuse("out of range", "choose at most `16MiB`");
  });

const bodyBytesMaxMax = 16 * 1024 * 1024;

/** `200/s` as permits and period. */
export const rate = () =>
  word((text) => {
    const [, digits, unit] = /^(\d{1,7})\/(s|m|h|d)$/.exec(text) ?? [];
    const periodMs = durations[unit ?? ""];
    if (digits === undefined || periodMs === undefined || Number(digits) === 0) {
      return refuse("not a rate", "write a whole number, `/` and `s`, `m`, `h` or `d`, for example `200/s`");
    }
    return { value: { rate: Number(digits), periodMs } };
  });

/** `10000/day` as a number for each calendar period. */
export const quota = () =>
  word((text) => {
    const [, digits, period] = /^(\d{1,12})\/(day|month)$/.exec(text) ?? [];
    return digits === undefined || Number(digits) === 0
      ? refuse("not a quota", "write a whole number, `/` and `day` or `month`, for example `10000/day`")
      : { value: { max: Number(digits), period: period === "day" ? ("day" as const) : ("month" as const) } };
  });

/** An IANA name of a time zone. */
export const timeZone = () =>
  word((text) => {
    try {
      // An offset such as `+01:00` has no calendar of its own, and would be right half of the year.
      if (!/^[A-Za-z]/.test(text)) throw new RangeError("no name");
      return { value: new Intl.DateTimeFormat("en", { timeZone: text }).resolvedOptions().timeZone };
    } catch {
      return refuse("not a time zone", "write a name such as `UTC` or `Europe/Berlin`");
    }
  });

/** `20%` as a share of one. */
export const percent = (bounds: { readonly min: number; readonly max: number }) =>
  word((text) => {
    const digits = /^(\d{1,3})%$/.exec(text)?.[1];
    if (digits === undefined) return refuse("not a percentage", "write a whole number and `%`, for example `20%`");
    const value = Number(digits);
    return value >= bounds.min && value <= bounds.max
      ? { value: value / 100 }
      : refuse("out of range", `choose \`${bounds.min}%\` to \`${bounds.max}%\``);
  });

/** `2027-06-30` as the end of that day in UTC, milliseconds since the epoch. */
export const date = () =>
  word((text) => {
    const startMs = /^\d{4}-\d{2}-\d{2}$/.test(text) ? Date.parse(`${text}T00:00:00Z`) : Number.NaN;
    const isReal = !Number.isNaN(startMs) && new Date(startMs).toISOString().slice(0, 10) === text;
    return isReal
      ? { value: startMs + 86_400_000 }
      : refuse("not a date", "write year-month-day with leading zeros, for example `2027-06-30`");
  });

/** Path of a file of the estate, relative to the file that names it. Containment is checked when it is read. */
export const filePath = () =>
  word((text) =>
    text.length > 0 && text.length <= 512 && !/[\0\\]/.test(text)
      ? { value: text }
      : refuse("not a path", "write a relative path with `/`, for example `schemas/invoice.json`"),
  );

export interface Match {
  readonly method: string;
  readonly path: string;
}

const methods = new Set(["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]);

/** `POST /v1/invoices/{id}`. */
export const match = () => word(readMatch);

function readMatch(text: string): Read<Match> {
  const [method, path, ...rest] = text.split(" ");
  if (method === undefined || path === undefined || rest.length > 0) {
    return refuse("not a method and a path", "write them with one space between, for example `POST /v1/invoices`");
  }
  if (!methods.has(method)) {
    return methods.has(method.toUpperCase())
      ? refuse("the method is not in upper case", `write ${method.toUpperCase()}`)
      : refuse("not a method that is served", `use one of ${[...methods].join(", ")}`);
  }
  const colon = /\/:([A-Za-z_]\w*)/.exec(path)?.[1];
  // As a literal it would be served to nobody, and the caller's `no-route` would not say why.
  if (colon !== undefined) return refuse("a parameter is not written with `:`", `write \`{${colon}}\``);
  const refused = refusePath(path);
  return refused ?? { value: { method, path } };
}

function refusePath(path: string): { refused: string; fix: string } | null {
  if (!path.startsWith("/"))
    return refuse("the path does not begin with `/`", "write the path from the root, without host");
  if (path.length > 1_024) return refuse("the path is longer than 1024 characters", "shorten it");
  if (path.includes("*")) return refuse("a path has no wildcards", "name a segment as `{parameter}`");
  if (path.includes("?") || path.includes("#"))
    return refuse("a path ends before `?` and `#`", "declare query parameters as attributes");
  const parameters = new Set<string>();
  for (const [index, segment] of path.slice(1).split("/").entries()) {
    if (segment === "" && !(index === 0 && path === "/"))
      return refuse("an empty path segment", "remove `//` and a `/` at the end");
    if (segment === "." || segment === "..") return refuse("a dot segment in the path", "write the path it leads to");
    const parameter = /^\{([A-Za-z_][A-Za-z0-9_]{0,62})\}$/.exec(segment)?.[1];
    if (parameter !== undefined) {
      if (parameters.has(parameter)) return refuse("a path parameter occurs twice", "give each its own name");
      parameters.add(parameter);
    } else if (/[{}]/.test(segment)) {
      return refuse("`{parameter}` is not a whole path segment", "let it fill the segment between two slashes");
    } else if (!/^[A-Za-z0-9._~!$&'()+,;=:@-]*$/.test(segment)) {
      return refuse(
        "a character that is not literal in a path (RFC 3986 §3.3)",
        "write the decoded path with unreserved characters",
      );
    }
  }
  return null;
}

/** Where a caller reaches the system: a prefix of whole literal segments. */
export const publicPath = () =>
  word((text) => {
    const refused = text.includes("{")
      ? refuse("a public path has no parameters", "write a literal prefix")
      : refusePath(text);
    return refused ?? { value: text };
  });

export const hostName = () =>
  word((text) =>
    text.length <= 253 && /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/.test(text)
      ? { value: text }
      : refuse(
          "not a host name",
          "write it in lower case without scheme, port and wildcard, for example `api.acme.example`",
        ),
  );

/** An http or https URL without credentials, query and fragment; the value has no slash at the end. */
export const upstreamUrl = () => word((text) => readUrl(text, true));

/** Scheme, host and port only. */
export const originUrl = () => word((text) => readUrl(text, false));

function readUrl(text: string, mayHavePath: boolean): Read<string> {
  if (!URL.canParse(text))
    return refuse("not a URL", "write it with its scheme, for example `https://billing.internal:8443`");
  const url = new URL(text);
  if (url.protocol !== "http:" && url.protocol !== "https:")
    return refuse("neither http nor https", "use `https://` or `http://`");
  if (url.username !== "" || url.password !== "")
    return refuse("a URL with credentials", "take them out and treat them as leaked");
  if (url.search !== "" || url.hash !== "" || /[?#]/.test(text))
    return refuse("a URL with a query or fragment", "end it before `?` and `#`");
  const path = url.pathname.replace(/\/$/, "");
  if (path !== "" && !mayHavePath) return refuse("a URL with a path", "write scheme, host and port only");
  if (/%|\/\/|\/\.\.?(\/|$)/.test(path) || text.includes("/../") || text.includes("/./")) {
    return refuse("a path with escapes, empty or dot segments", "write the plain path");
  }
  return { value: url.origin + path };
}

export type SourcePlace = "path" | "query" | "header" | "body" | "response" | "lookup";

/** `path:region`, `query:x`, `header:x`, `body:$.a.b`. */
export const attributeFrom = () =>
  word((text): Read<{ readonly from: SourcePlace; readonly name: string }> => {
    const [, from = "", name = ""] = /^([a-z]+):(.+)$/.exec(text) ?? [];
    if (from === "path")
      return /^[A-Za-z_]\w*$/.test(name)
        ? { value: { from, name } }
        : refuse("not a path parameter", "write `path:<parameter>`");
    if (from === "query")
      return /^[A-Za-z0-9._~-]+$/.test(name)
        ? { value: { from, name } }
        : refuse("not a query parameter", "write `query:<name>`");
    if (from === "header") {
      return /^[A-Za-z0-9-]+$/.test(name)
        ? { value: { from, name: name.toLowerCase() } }
        : refuse("not a header name", "write `header:<name>`");
    }
    if (from === "body" || from === "response" || from === "lookup") {
      const path = from === "lookup" ? /^[a-z][a-z0-9-]*:(.+)$/.exec(name)?.[1] : name;
      return /^\$(\.[A-Za-z_][A-Za-z0-9_]*)+$/.test(path ?? "") &&
        !/\.(__proto__|constructor|prototype)(\.|$)/.test(name)
        ? { value: { from, name } }
        : refuse(
            "not a JSONPath of member names",
            `write for example \`${from}:${from === "lookup" ? "customer:" : ""}$.customer.region\``,
          );
    }
    return refuse("not a source of an attribute", sourceFix);
  });

const sourceFix = "write `path:<parameter>`, `query:<name>`, `header:<name>` or `body:$.member`";

/** A text of a token, compared byte by byte: an issuer, an audience, a subject. */
export const claimValue = () =>
  word((text) =>
    claimText(text) === undefined
      ? refuse("not a value a claim can have", "write 1 to 512 characters without control characters")
      : text.includes("*")
        ? refuse(
            "there are no wildcards in values of claims",
            "write the whole value; pin an id that nobody else can have",
          )
        : { value: text },
  );

/** A claim by name, or by JSON Pointer (RFC 6901). */
export const claimName = () =>
  word((text) =>
    text.length <= 256 && /^(?:[A-Za-z0-9_.:-]+|(?:\/(?:[^~/\s]|~[01])+)+)$/.test(text)
      ? { value: text }
      : refuse(
          "not the name of a claim",
          "write its name, or a JSON Pointer such as `/kubernetes.io/serviceaccount/uid`",
        ),
  );

/** A subject, as its one RFC 4514 text. */
export const distinguishedName = () =>
  word((text) => {
    try {
      return { value: printName(parseName(text)) };
    } catch (fault) {
      if (fault instanceof NameFault) return refuse(fault.message, fault.fix);
      throw fault;
    }
  });

/** An address literal, in its one spelling: IPv6 as eight groups. */
export const addressName = () =>
  word((text) => {
    const bytes = parseAddress(text);
    return bytes === null
      ? refuse("not an IP address", "write it without a port or a network, for example `10.1.2.3`")
      : { value: bytes.length === 4 ? text : groupsOf(bytes) };
  });

function groupsOf(bytes: Uint8Array): string {
  const pairs = Array.from({ length: 8 }, (_, at) => ((bytes[2 * at] ?? 0) << 8) | (bytes[2 * at + 1] ?? 0));
  return pairs.map((pair) => pair.toString(16)).join(":");
}

/** An https URL without credentials, query and fragment; the path counts. */
export const httpsUrl = (why: string) =>
  word((text) => {
    const read = readUrl(text, true);
    if ("refused" in read) return read;
    return text.startsWith("https://") ? { value: text } : refuse("not https", why);
  });

export const witnessUrl = () => word((text) => readUrl(text, true));

/** `witness.example+5f2c8a01+BHk…` */
export const witnessKey = () =>
  word((text) =>
    parseWitnessKey(sha256, text) === null
      ? refuse(
          "not the verifier key of a witness",
          "write `<name>+<key id>+<base64>` with type 0x04, as the witness's operator gives it",
        )
      : { value: text },
  );

export const logKey = () =>
  word((text) =>
    parseVerifierKey(sha256, text) === null
      ? refuse(
          "not the verifier key of a log",
          "write `<origin>+<key id>+<base64>` with type 0x01; `sallyport audit verify` prints it as `signer`",
        )
      : { value: text },
  );
