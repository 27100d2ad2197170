// Promises whether what is kept is whole and guarded: store, log, credentials, certificates. Pure.
// Trusts gather-state.ts. Specified in docs/cli/doctor.md "Checks".
import { type Notice, urgencyOf } from "@sallyport/control/admin/notices.ts";
import type { PostgresFacts } from "@sallyport/kernel/store/postgres-facts.ts";
import { type IssuerState, issuerWords } from "../start/status-words.ts";
import { type CheckResult, fail, good, warn } from "./check-result.ts";
import { quantile } from "./disk.ts";

export type SqliteFacts =
  | { readonly kind: "absent" }
  | { readonly kind: "read"; readonly problems: readonly string[]; readonly bytes: number; readonly ms: number }
  | { readonly kind: "unreadable"; readonly why: string };

export function decideSqlite(path: string, facts: SqliteFacts): CheckResult {
  const restore = "stop serve and restore the newest backup (sallyport restore); keep the damaged file for later";
  if (facts.kind === "absent") return good("store.sqlite", `no store at ${path} yet`);
  if (facts.kind === "unreadable") return fail("store.sqlite", `${path} cannot be read: ${facts.why}`, restore);
  const [first] = facts.problems;
  if (first !== undefined) return fail("store.sqlite", `${path}: ${first}`, restore);
  return good(
    "store.sqlite",
    `quick_check of ${Math.round(facts.bytes / 1024)} KiB found nothing, ${facts.ms.toFixed(0)} ms`,
  );
}

const postgresMin = 140_000;
const slowRoundTripMs = 20;

export function decidePostgres(facts: PostgresFacts | { readonly why: string }): readonly CheckResult[] {
  if ("why" in facts)
    return [fail("store.postgres", facts.why, "check that the server runs, and the variable that --store names")];
  const median = quantile(facts.roundTripMs, 0.5) ?? 0;
  const server = `PostgreSQL ${facts.version}, fsync ${facts.fsync}, ${facts.encoding}`;
  return [
    facts.versionNumber < postgresMin
      ? fail("store.postgres", server, "use PostgreSQL 14 or newer")
      : facts.fsync !== "on"
        ? fail("store.postgres", server, "set fsync = on: what is acknowledged could be lost")
        : facts.encoding !== "UTF8"
          ? fail("store.postgres", server, "create the database with ENCODING 'UTF8'")
          : good("store.postgres", server),
    facts.synchronousCommit === "off"
      ? warn(
          "store.commit",
          "synchronous_commit is off on the server",
          "sallyport's own sessions switch it on; set it on the server too if others write there",
        )
      : good("store.commit", `synchronous_commit ${facts.synchronousCommit}`),
    median > slowRoundTripMs
      ? warn(
          "store.latency",
          `a round trip takes ${median.toFixed(1)} ms`,
          "bring the database nearer: each administrative act takes several",
        )
      : good("store.latency", `a round trip takes ${median.toFixed(1)} ms`),
  ];
}

export interface LogFacts {
  readonly role: "control" | "gateway";
  readonly directory: string;
  /** Null: no log was begun. */
  readonly checkpoint: { readonly origin: string; readonly leaves: number } | { readonly why: string } | null;
  /** Bytes set aside for administrative records. */
  readonly reserveBytes: number;
}

const reserveBytesMin = 1_048_576;

export function decideLog({ role, directory, checkpoint, reserveBytes }: LogFacts): readonly CheckResult[] {
  const check = `log.${role}`;
  if (checkpoint === null) return [];
  const restore = `sallyport audit verify ${directory} says where; restore from the backup`;
  const signed =
    "why" in checkpoint
      ? fail(check, checkpoint.why, restore)
      : good(check, `the last checkpoint of ${checkpoint.origin} (${checkpoint.leaves} leaves) verifies`);
  const reserve =
    reserveBytes < reserveBytesMin
      ? warn(
          `${check}.reserve`,
          `${Math.round(reserveBytes / 1024)} KiB are set aside for administrative records`,
          "free some space and restart: the reserve was given up when the disk was full",
        )
      : good(
          `${check}.reserve`,
          `${(reserveBytes / 1_048_576).toFixed(0)} MiB are set aside for administrative records`,
        );
  return [signed, reserve];
}

/** Something with an end. */
export interface DatedFacts {
  readonly check: string;
  readonly what: string;
  readonly notAfter: number;
  /** Renews itself at half of its life: only an end that is over or near says something. */
  readonly renews: boolean;
  readonly fix: string;
}

export function decideDate({ check, what, notAfter, renews, fix }: DatedFacts, now: number): CheckResult {
  const until = `${what} is good until ${new Date(notAfter).toISOString().slice(0, 16)}Z`;
  if (notAfter <= now) return fail(check, `${what} ended on ${new Date(notAfter).toISOString().slice(0, 16)}Z`, fix);
  const urgency = urgencyOf(notAfter, now);
  return renews || urgency === null ? good(check, until) : warn(check, `${until}, within ${urgency}`, fix);
}

/** What control itself says is due or open, as findings. */
export function decideNotice({ urgency, object, text, fix, file, line }: Notice): CheckResult {
  const where = file === null ? "" : ` (${file}:${line})`;
  const said = `${object === "" ? "" : `${object}: `}${text}${where}`;
  return warn(urgency === "standing" ? "guard" : "due", said, fix);
}

const troubleFixes: Readonly<Record<NonNullable<NonNullable<IssuerState["introspection"]>["trouble"]>, string>> = {
  unreachable:
    "see that control reaches `introspection.url`, that its certificate chains to `tls.ca` and that it answers within 3 s",
  "client-refused":
    "register `introspection.client` there with `private_key_jwt` and the keys of `<issuer>/introspection-jwks`, with leave to ask about tokens",
  malformed: "see that `introspection.url` is the introspection endpoint: its answer is none of RFC 7662",
};

/** Control is asked, not the issuer: only control fetches its keys, and over its own way. */
export function decideOutsideIssuer(issuer: IssuerState, now: number): CheckResult {
  const check = `issuer.${issuer.environment}.${issuer.issuer}`;
  const { isSound, says } = issuerWords(issuer, now);
  if (isSound) return good(check, says);
  if (issuer.introspection !== null && issuer.introspection.trouble !== null)
    return warn(check, says, troubleFixes[issuer.introspection.trouble]);
  const fix = "see that control reaches `jwksUri`, that its certificate chains to `tls.ca` and that it answers a JWKS";
  return issuer.keys === 0 ? fail(check, says, fix) : warn(check, says, fix);
}

const operatorKeyDaysMax = 180;

export function decideOperatorKey(path: string, ageMs: number | null): CheckResult {
  if (ageMs === null) return good("operator.key", `none at ${path}`);
  const days = Math.floor(ageMs / 86_400_000);
  const measured = `${path} is ${days} days old`;
  if (days <= operatorKeyDaysMax) return good("operator.key", measured);
  return warn(
    "operator.key",
    measured,
    'declare a new key under `operators` in sallyport.yaml, and take the old one out (docs/identity.md "Operators")',
  );
}
