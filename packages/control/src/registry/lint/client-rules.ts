// Promises to find clients that prove themselves by what can be copied, for too long or without a reason. Pure. Pages: docs/lint.
import type { ClientAuthentication } from "../config/estate.ts";
import { emptiness } from "./ownership-rules.ts";
import { dayMs, dayOf, type Hit, onSystems, type Rule, type SystemSubject } from "./rule.ts";

const secretMaxDays = 180;
const secretSoonDays = 14;

type Secrets = Extract<ClientAuthentication, { method: "client_secret_basic" }>;

/** Clients of a system that may use secrets, each judged by `check`. */
const onSecrets = (check: (secrets: Secrets, subject: SystemSubject, now: number) => Hit | null) =>
  onSystems((subject, { now }) =>
    subject.system.clients.flatMap(({ authentication }): Hit[] => {
      const hit = authentication?.method === "client_secret_basic" ? check(authentication, subject, now) : null;
      return hit === null ? [] : [hit];
    }),
  );

export const clientRules: readonly Rule[] = [
  {
    id: "legacy-token-algorithm",
    severity: "warning",
    title: "Tokens for a system are signed with RSA",
    why: "RSA keys are made and used for these audiences alone; each signature takes control ten times as long as ES256, and with PKCS #1 v1.5 padding (RS256) it is what attacks on verifiers are written for.",
    fix: "have the services of that system verify ES256 or EdDSA and take `algorithm` out before `until`; the SDK's verifier does",
    waivable: true,
    check: onSystems(({ system, at }, { now }): Hit[] => {
      if (system.legacyTokens === undefined) return [];
      const { algorithm, untilMs } = system.legacyTokens;
      const end =
        untilMs > now ? `until ${dayOf(untilMs)}` : "no more: the day has passed, and they are signed as everybody's";
      return [
        { at: at("tokens", "algorithm"), message: `tokens for ${system.id} are signed with ${algorithm}, ${end}` },
      ];
    }),
  },
  {
    id: "client-secret-accepted",
    severity: "warning",
    title: "A client proves itself by a secret",
    why: "A secret travels with every request and works for whoever copies it: from a deployment file, a log, a shell history. A key signs and stays where it is.",
    fix: "give the client a key (`sallyport client-key new`) or a certificate before `until`",
    waivable: true,
  },
  {
    id: "client-secret-ended",
    severity: "warning",
    title: "The end of a client's secrets has passed",
    why: "Its secrets are refused since then: the client gets no token until it has another proof.",
    fix: "declare a key or a certificate in place of `secrets`, or write a later day",
    waivable: true,
  },
  {
    id: "client-secret-ends-soon",
    severity: "warning",
    title: "A client's secrets end within 14 days",
    why: "On that day the client is refused, also where its secret is not old.",
    fix: "move the client to a key or a certificate now",
    waivable: true,
    check: onSecrets(({ untilMs }, { at }, now) =>
      untilMs > now && untilMs <= now + secretSoonDays * dayMs
        ? { at: at("identity", "secrets", "until"), message: `secrets are refused after ${dayOf(untilMs)}` }
        : null,
    ),
  },
  {
    id: "client-secret-too-long",
    severity: "warning",
    title: "A client may use secrets for more than 180 days",
    why: "An exception without a near end is the rule; nobody moves a client that may stay.",
    fix: "write a day within 180 days, and prolong it when you must",
    waivable: true,
    check: onSecrets(({ untilMs }, { at }, now) =>
      untilMs > now + secretMaxDays * dayMs
        ? { at: at("identity", "secrets", "until"), message: `secrets are accepted until ${dayOf(untilMs)}` }
        : null,
    ),
  },
  {
    id: "client-secret-reason-says-nothing",
    severity: "warning",
    title: "The reason of a client's secrets explains nothing",
    why: "The reason tells the next reviewer what has to happen before the exception can end.",
    fix: "say what keeps the client from a key or a certificate, and what changes that",
    waivable: true,
    check: onSecrets(({ reason }, { system, at }) => {
      const why = emptiness(reason, [system.id, "secret", "client"]);
      return why === null
        ? null
        : { at: at("identity", "secrets", "reason"), message: `\`reason\` says nothing: ${why}` };
    }),
  },
];
