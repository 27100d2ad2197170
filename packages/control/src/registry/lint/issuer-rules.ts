// Promises to find outside issuers whose access tokens open more here than they were issued for, or for longer. Pure. Pages: docs/lint.
import type { IssuerConfig } from "../config/estate.ts";
import { everybodysAudience } from "../config/read-issuer.ts";
import { type Hit, isSensitive, type LintSubject, onIssuers, type Rule } from "./rule.ts";

/** As long as a user's token of our own may live (DESIGN §4 Tokens). */
const lifetimeSecondsCalm = 600;
/** As long as the last word of control may be for what is internal. */
const keepMsCalm = 60_000;

export const issuerRules: readonly Rule[] = [
  {
    id: "outside-token-audience",
    severity: "warning",
    title: "An audience that every token of the realm has opens a provider",
    why: "Without an audience of its own a token that its client got for any other API, and that other API, can be used here.",
    fix: "give the client scope an audience mapper, and write its audience in place of `account`",
    waivable: true,
    check: onIssuers(({ issuer, at }) =>
      (issuer.gateways ?? []).flatMap(({ audiences }, index): Hit[] => {
        const opens = audiences[everybodysAudience];
        if (opens === undefined) return [];
        const message = `\`${everybodysAudience}\`, which every token of the realm has, opens ${opens.join(", ")}`;
        return [{ at: at("gateways", index, "audiences", everybodysAudience), message }];
      }),
    ),
  },
  {
    id: "outside-token-bearer",
    severity: "warning",
    title: "Unbound tokens of an outside issuer reach confidential data",
    why: "Whoever finds one in a log, a browser or a proxy reads what its user may, and nothing here can tell them apart until it ends.",
    fix: "have the issuer bind them (DPoP, certificates), or exchange them, and take `bearer` out of the integration",
    waivable: true,
    check: onIssuers(({ issuer, environment, at }, lint) =>
      (issuer.gateways ?? []).flatMap(({ system }, index): Hit[] => {
        const open = openToBearer(lint, environment.name, system);
        if (open === null) return [];
        return [{ at: at("gateways", index, "system"), message: `\`${open}\` is open to them as bearer tokens` }];
      }),
    ),
  },
  {
    id: "outside-token-long",
    severity: "warning",
    title: "Access tokens of an outside issuer may live longer than ten minutes",
    why: "Nobody asks the issuer at a crossing: a session that ended there goes on here until its last token does.",
    fix: "write `lifetime: 10m` or less, and have the issuer make them so",
    waivable: true,
    check: onIssuers(
      ({ issuer, at }) =>
        issuer.gateways !== undefined &&
        !isAlwaysAsked(issuer) &&
        issuer.lifetimeSecondsMax > lifetimeSecondsCalm && {
          at: at("lifetime"),
          message: `its tokens are accepted with a life of ${Math.round(issuer.lifetimeSecondsMax / 60)} minutes`,
        },
    ),
  },
  {
    id: "introspection-long",
    severity: "warning",
    title: "A yes of an issuer about an opaque token is used again for longer than a minute",
    why: "A token that was ended there opens operations here until the last yes is old, and nobody here hears of it.",
    fix: "write `keep: 1m` or less; crossings with one token share a question, and `perSecond` bounds them all",
    waivable: true,
    check: onIssuers(
      ({ issuer: { introspection }, at }) =>
        introspection !== undefined &&
        introspection.keepMs > keepMsCalm && {
          at: at("introspection", "keep"),
          message: `tokens that ended there go on for up to ${introspection.keepMs / 1_000} s`,
        },
    ),
  },
  {
    id: "outside-token-unscoped",
    severity: "info",
    title: "The scope of an outside issuer's tokens says nothing here",
    why: "Every token of that client can do all that its system is granted, whatever the user agreed to at the issuer.",
    fix: "say under `carries` which words of its scope stand for which operations",
    waivable: true,
    check: onIssuers(({ issuer, at }) =>
      (issuer.gateways ?? []).flatMap(({ party, speaksFor, carries }, index): Hit[] =>
        speaksFor === "workload" || carries !== undefined
          ? []
          : [{ at: at("gateways", index, "party"), message: `tokens of \`${party}\` carry all that is granted` }],
      ),
    ),
  },
];

/** None of its tokens is believed by a key: how long they live is for the issuer to say, each time. */
function isAlwaysAsked({ introspection, keys }: IssuerConfig): boolean {
  return introspection !== undefined && keys.from === "file" && keys.keys.length === 0;
}

/** A sensitive operation that this system may call with a bearer token. */
function openToBearer(lint: LintSubject, environment: string, system: string): string | null {
  const here = lint.environments.find(({ config }) => config.name === environment);
  for (const { integration, granted } of here?.integrations ?? []) {
    if (integration.from !== system || !integration.proof.includes("bearer")) continue;
    const sensitive = granted.find(isSensitive);
    if (sensitive !== undefined) return `${integration.to}:${sensitive.name}`;
  }
  return null;
}
