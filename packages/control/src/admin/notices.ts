// Promises what an operator should do something about before it hurts: dates within 60, 30 and 7 days, and protections that are off.
// Pure. Trusts the estate in force. Specified in docs/cli/status.md "Notices".
import { X509Certificate } from "node:crypto";
import { passkeyPlace } from "../identity/people/passkeys.ts";
import type { EnvironmentConfig } from "../registry/config/estate.ts";
import { revocationNotices } from "./revocation-notices.ts";

export type Urgency = "over" | "7 days" | "30 days" | "60 days" | "standing";

export interface Notice {
  readonly urgency: Urgency;
  /** `integration/orders-to-billing`; empty where it concerns the installation. */
  readonly object: string;
  readonly environment: string;
  readonly text: string;
  readonly fix: string;
  /** Milliseconds since the epoch; null for what has no date. */
  readonly at: number | null;
  readonly file: string | null;
  readonly line: number | null;
}

const dayMs = 86_400_000;

/** How near a date is, or null when it is more than 60 days away. */
export function urgencyOf(at: number, now: number): Exclude<Urgency, "standing"> | null {
  if (at <= now) return "over";
  const days = (at - now) / dayMs;
  if (days <= 7) return "7 days";
  if (days <= 30) return "30 days";
  return days <= 60 ? "60 days" : null;
}

export interface NoticeInputs {
  readonly environments: readonly EnvironmentConfig[];
  readonly now: number;
  /** Checkpoints of control's own log are copied somewhere, or outside witnesses cosign them. */
  readonly checkpointCopy: boolean;
  /** By environment. */
  readonly issuers: ReadonlyMap<string, string>;
}

interface Dated {
  readonly at: number;
  readonly what: string;
  readonly fix: string;
}

/** Everything to say, the nearest date first, what has no date last. */
export function decideNotices({ environments, now, checkpointCopy, issuers }: NoticeInputs): readonly Notice[] {
  const dated = environments.flatMap((environment) => [
    ...datesOf(environment, now),
    ...unenforcedOf(environment, now),
    ...revocationNotices(environment, now),
  ]);
  const standing = [
    ...environments.flatMap((environment) => passkeysNowhere(environment, issuers.get(environment.name))),
    ...environments.flatMap(openApproval),
    ...(checkpointCopy ? [] : [noCopy]),
  ];
  return [...dated.sort((a, b) => (a.at ?? 0) - (b.at ?? 0)), ...standing];
}

function datesOf(environment: EnvironmentConfig, now: number): readonly Notice[] {
  const notices: Notice[] = [];
  const say = (object: string, place: { readonly file: string; readonly line: number }, date: Dated): void => {
    const urgency = urgencyOf(date.at, now);
    if (urgency === null) return;
    const when = new Date(date.at).toISOString().slice(0, 10);
    const text = `${date.what} ${urgency === "over" ? "was over on" : "ends on"} ${when}`;
    const { file, line } = place;
    notices.push({ urgency, object, environment: environment.name, text, fix: date.fix, at: date.at, file, line });
  };
  for (const one of environment.integrations) {
    const object = `integration/${one.id}`;
    for (const date of datesOfIntegration(one)) say(object, one.declaredAt, date);
  }
  for (const { name, roots, declaredAt } of environment.trust)
    for (const pem of roots) say(`trust/${name}`, declaredAt, rootDate(pem));
  return notices;
}

/** What observe and passthrough leave out is said however far its end is. */
function unenforcedOf(environment: EnvironmentConfig, now: number): readonly Notice[] {
  const { name, mode, systems, integrations } = environment;
  const say = (object: string, until: number, on: Pick<Notice, "text" | "fix" | "file" | "line">): Notice => {
    const urgency = urgencyOf(until, now) ?? "standing";
    const when = new Date(until - 1).toISOString().slice(0, 10);
    const text =
      urgency === "over" ? `${on.text}: that ended on ${when}, and it is enforced` : `${on.text} until ${when}`;
    return { ...on, urgency, object, environment: name, text, at: until };
  };
  const nowhere = { file: null, line: null };
  const observed = (
    object: string,
    one: EnvironmentConfig["mode"],
    at: Pick<Notice, "file" | "line">,
  ): readonly Notice[] =>
    one?.mode !== "observe"
      ? []
      : [
          say(object, one.untilMs, {
            ...at,
            text: "observed, not enforced",
            fix: "sallyport observe says what enforcement would deny; mend it, then remove `mode`",
          }),
        ];
  return [
    ...observed(`environment/${name}`, mode, nowhere),
    ...systems.flatMap(({ id, mode: own, passthrough, declaredAt: { file, line } }) => [
      ...observed(`system/${id}`, own, { file, line }),
      ...(passthrough === undefined
        ? []
        : [
            say(`system/${id}`, passthrough.untilMs, {
              file,
              line,
              text: "undeclared requests pass, from anybody",
              fix: "sallyport observe proposes the operations to declare; then remove `passthrough`",
            }),
          ]),
    ]),
    ...integrations.flatMap(({ id, mode: own, declaredAt: { file, line } }) =>
      observed(`integration/${id}`, own, { file, line }),
    ),
  ];
}

function datesOfIntegration(one: EnvironmentConfig["integrations"][number]): readonly Dated[] {
  const dates: Dated[] = [];
  if (one.reviewMs !== undefined)
    dates.push({
      at: one.reviewMs,
      what: "the time for its review",
      fix: "review it with its owner, and move `review`",
    });
  if (one.bearerUntilMs !== undefined)
    dates.push({
      at: one.bearerUntilMs,
      what: "the time in which it accepts bearer tokens",
      fix: "move its callers to dpop or mtls, and remove bearer from `proof`",
    });
  if (one.expiresAtMs !== undefined) {
    const consequence = one.onExpiry === "suspend" ? "then it is denied" : "then it is a finding only";
    dates.push({
      at: one.expiresAtMs,
      what: `its life (${consequence})`,
      fix: "move `expires`, or remove the integration",
    });
  }
  return dates;
}

function rootDate(pem: string): Dated {
  const certificate = new X509Certificate(pem);
  return {
    at: certificate.validToDate.getTime(),
    what: `the root certificate ${certificate.subject.split("\n").at(-1) ?? ""}`,
    fix: "add the next root to the bundle before this one ends",
  };
}

function openApproval(environment: EnvironmentConfig): readonly Notice[] {
  if (environment.name !== "production" || environment.approval !== "none") return [];
  return [
    {
      urgency: "standing",
      object: "environment/production",
      environment: environment.name,
      text: "whatever is applied to production is served at once: nobody approves it",
      fix: "in sallyport.yaml, environments.production: { approval: operator }",
      at: null,
      file: null,
      line: null,
    },
  ];
}

/** The log-in pages leave passkeys out there, and nobody would see why. */
function passkeysNowhere({ name, people }: EnvironmentConfig, issuer: string | undefined): readonly Notice[] {
  if (issuer === undefined || people?.signIn.includes("passkey") !== true || passkeyPlace(issuer) !== null) return [];
  return [
    {
      urgency: "standing",
      object: `environment/${name}`,
      environment: name,
      text: "nobody can use a passkey: browsers want a host with a name, and this issuer is at an address",
      fix: "serve --identity-url https://<name>:<port> (localhost will do on one machine), or take `passkey` out of signIn",
      at: null,
      file: null,
      line: null,
    },
  ];
}

const noCopy: Notice = {
  urgency: "standing",
  object: "",
  environment: "",
  text: "no witness outside is configured, and no copy of the log's checkpoints is kept elsewhere: whoever owns the data directory could rewrite the log unnoticed",
  fix: "serve --witness <url> --witness-key <key>, or --checkpoint-copy <file on another disk>, and keep what `sallyport audit checkpoints` gives",
  at: null,
  file: null,
  line: null,
};
