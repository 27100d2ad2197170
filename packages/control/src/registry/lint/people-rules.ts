// Promises to find what is asked of people and cannot be given, and what is done for them with less than it is worth. Pure. Pages: docs/lint.
import { type Acr, acrLevelOf, stricterStepUp } from "@sallyport/protocol/token/acr.ts";
import type { EnvironmentConfig, IntegrationConfig, PeopleConfig, SystemConfig } from "../config/estate.ts";
import type { OperationConfig } from "../config/operation-config.ts";
import {
  dayMs,
  estatePlace,
  type Hit,
  type IntegrationSubject,
  isSensitive,
  onEnvironments,
  onIntegrations,
  onOperations,
  type Rule,
} from "./rule.ts";

const hourMs = dayMs / 24;
const absoluteMaxMs = dayMs;
const idleMaxMs = 8 * hourMs;
const mfaLevel = 2;

/** Grants by which a client gets a token that names a user. */
const userGrants: ReadonlySet<string> = new Set([
  "authorization_code",
  "refresh_token",
  "urn:ietf:params:oauth:grant-type:device_code",
]);

const wordOf = (acr: string): string => acr.replace("urn:sallyport:acr:", "");

/** The strongest log-in that the environment's pages can make; null: nobody signs in. */
function strongest(people: PeopleConfig | undefined): Acr | null {
  if (people === undefined) return null;
  return people.signIn.includes("passkey") ? "urn:sallyport:acr:phishing-resistant" : "urn:sallyport:acr:mfa";
}

/** Why nobody can have the log-in that is asked for; null: somebody can. */
function whyUnreachable({ people }: EnvironmentConfig, acr: Acr | undefined): string | null {
  const most = strongest(people);
  if (most === null) return "nobody signs in in this environment: it has no `people`";
  return acr !== undefined && acrLevelOf(acr) > acrLevelOf(most)
    ? `\`signIn\` has no passkey: the strongest log-in is ${wordOf(most)}`
    : null;
}

const actsForUsers = (system: SystemConfig | undefined): boolean =>
  system?.clients.some(({ grantTypes = [] }) => grantTypes.some((grant) => userGrants.has(grant))) ?? false;

/** May the consumer come with a token that names a user: its own client's, an exchanged one, or an outside issuer's? */
function bringsUsers({ integration, consumer, environment }: IntegrationSubject): boolean {
  const outside = environment.issuers.some(({ gateways = [] }) =>
    gateways.some(({ system, speaksFor }) => system === integration.from && speaksFor === "user"),
  );
  return actsForUsers(consumer) || (integration.exchange ?? []).length > 0 || outside;
}

function wantedOf(operation: OperationConfig, integration: IntegrationConfig) {
  const granted = integration.operations.find(({ name }) => name === operation.name);
  return stricterStepUp(operation.stepUp, granted?.stepUp);
}

export const peopleRules: readonly Rule[] = [
  {
    id: "step-up-unreachable",
    severity: "warning",
    title: "An operation asks for a log-in that nobody can have here",
    why: "Every caller is refused, machines and people alike: the operation is granted and cannot be called.",
    fix: "write `people` for the environment, with `passkey` under `signIn` where `acr: phishing-resistant` is asked for, or ask for less",
    waivable: true,
    check: onOperations(({ operation, environment, at }): Hit | null => {
      if (operation.stepUp === undefined) return null;
      const why = whyUnreachable(environment, operation.stepUp.acr);
      const key = operation.stepUp.acr === undefined ? "maxAge" : "acr";
      return why === null ? null : { at: at(key), message: `\`${operation.name}\` asks for a log-in, and ${why}` };
    }),
  },
  {
    id: "step-up-for-machine",
    severity: "warning",
    title: "An operation that asks for a log-in is granted to a system without users",
    why: "The system never has a token that names a user, so each of its calls is refused; the grant only reads as if it could.",
    fix: "give its client the grant `authorization_code`, let it exchange users' tokens under `exchange`, or take the operation out of the grant",
    waivable: true,
    check: onIntegrations((subject) => {
      if (subject.consumer === undefined || bringsUsers(subject)) return [];
      const { integration, granted, at } = subject;
      return granted.flatMap((operation): Hit[] =>
        wantedOf(operation, integration) === undefined
          ? []
          : [
              {
                at: at("operations"),
                message: `\`${integration.from}\` acts for nobody, and \`${operation.name}\` is not for machines`,
              },
            ],
      );
    }),
  },
  {
    id: "user-data-on-password",
    severity: "info",
    title: "Confidential data is open to a log-in by password alone",
    why: "A password that somebody guessed, reused or was tricked out of opens it, and nothing more is asked.",
    fix: "write `acr: mfa` at the operation, or leave `password` out of `signIn`",
    waivable: true,
    check: onIntegrations((subject) => {
      const { integration, granted, environment, at } = subject;
      if (environment.people?.signIn.includes("password") !== true || !bringsUsers(subject)) return [];
      return granted.flatMap((operation): Hit[] => {
        const isEnough = acrLevelOf(wantedOf(operation, integration)?.acr) >= mfaLevel;
        return !isSensitive(operation) || isEnough
          ? []
          : [
              {
                at: at("operations"),
                message: `\`${operation.name}\` is ${operation.classification} and asks for no \`acr\``,
              },
            ];
      });
    }),
  },
  {
    id: "app-without-max-age",
    severity: "info",
    title: "An app that refreshes changes confidential data, however old the log-in is",
    why: "A public client's refresh token lives on the user's machine for up to 30 days; whoever takes over the machine acts as the user until then.",
    fix: "write `maxAge` at the operation, so that the user signs in again before it",
    waivable: true,
    check: onIntegrations(({ integration, consumer, granted, at }) => {
      const refreshes = consumer?.clients.some(
        ({ isPublic, grantTypes = [] }) => isPublic === true && grantTypes.includes("refresh_token"),
      );
      if (refreshes !== true) return [];
      return granted.flatMap((operation): Hit[] => {
        const isRead = ["GET", "HEAD", "OPTIONS"].includes(operation.method);
        if (isRead || !isSensitive(operation) || wantedOf(operation, integration)?.maxAgeSeconds !== undefined)
          return [];
        return [
          {
            at: at("operations"),
            message: `\`${operation.name}\` is ${operation.classification} and asks for no \`maxAge\``,
          },
        ];
      });
    }),
  },
  {
    id: "exchange-impersonates",
    severity: "warning",
    title: "An exchanged token does not say who acts",
    why: "Under `as: impersonate` the provider and the record see the user alone: what a taken-over system does for a user looks like the user.",
    fix: "write `as: delegate`, or leave `as` out",
    waivable: true,
    check: onIntegrations(({ integration, at }) =>
      (integration.exchange ?? []).flatMap((rule, index): Hit[] =>
        rule.as === "impersonate"
          ? [{ at: at("exchange", index, "as"), message: `\`${integration.from}\` acts as the user and is not named` }]
          : [],
      ),
    ),
  },
  {
    id: "exchange-rebinds",
    severity: "warning",
    title: "Our own tokens are exchanged by whoever holds a copy",
    why: "They are bound to a key. Under `binding: rebind` the exchange does not ask for that key, so a token copied from the system is worth a new one that is bound to the copier's.",
    fix: "leave `binding` out: `keep` asks for the key of the token",
    waivable: true,
    check: onIntegrations(({ integration, at }) =>
      (integration.exchange ?? []).flatMap((rule, index): Hit[] =>
        rule.binding === "rebind" && rule.subject === "own"
          ? [
              {
                at: at("exchange", index, "binding"),
                message: `\`${integration.from}\` need not prove the token's key`,
              },
            ]
          : [],
      ),
    ),
  },
  {
    id: "session-long",
    severity: "warning",
    title: "A log-in lasts longer than a day, or eight hours without use",
    why: "Whoever gets at the browser in that time is the user, and what a log-in allowed is refreshed until it ends.",
    fix: "write `idle: 1h` and `absolute: 12h`, or leave both out",
    waivable: true,
    check: onEnvironments(({ config: { name, people } }, { sources }) => {
      if (people === undefined) return [];
      const place = (key: string) => estatePlace(sources, "environments", name, "people", key);
      const hours = (ms: number) => `${Math.round(ms / hourMs)} hours`;
      return [
        ...(people.absoluteMs > absoluteMaxMs
          ? [{ at: place("absolute"), message: `a log-in lasts ${hours(people.absoluteMs)}` }]
          : []),
        ...(people.idleMs > idleMaxMs
          ? [{ at: place("idle"), message: `a log-in lasts ${hours(people.idleMs)} without use` }]
          : []),
      ];
    }),
  },
];
