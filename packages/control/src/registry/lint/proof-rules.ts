// Promises to find callers that prove too little: bearer tokens, shared and stale keys, names in certificates that many may hold. Pure. Pages: docs/lint.

import { isBound } from "@sallyport/protocol/principal.ts";
import { clientKeys, keyId } from "./keys.ts";
import { emptiness } from "./ownership-rules.ts";
import { dayMs, dayOf, estatePlace, type Hit, onIntegrations, onSystems, type Rule } from "./rule.ts";

const bearerMaxDays = 90;
const bearerSoonDays = 14;
const keysMax = 3;
const keyAgeMaxDays = 400;

export const proofRules: readonly Rule[] = [
  {
    id: "bearer-accepted",
    severity: "warning",
    title: "Tokens without proof of possession are accepted",
    why: "A bearer token works for whoever holds it: from a log, a proxy, a crash report. DPoP and mTLS bind it to a key.",
    fix: "move the caller to DPoP or mTLS before `until`",
    waivable: true,
  },
  {
    id: "api-key-accepted",
    severity: "warning",
    title: "API keys are accepted",
    why: "An API key travels with every request and is good for months: one log, proxy or crash report is enough to have it.",
    fix: "move the caller to DPoP, mTLS or message signatures before `until`",
    waivable: true,
  },
  {
    id: "bearer-ended",
    severity: "warning",
    title: "The end of a bearer exception has passed",
    why: "Bearer tokens are refused since then; a caller that did not move is cut off.",
    fix: "remove `bearer`, `reason` and `until`, or write a later day",
    waivable: true,
  },
  {
    id: "bearer-ends-soon",
    severity: "warning",
    title: "A bearer exception ends within 14 days",
    why: "On that day callers that did not move are refused.",
    fix: "see with `sallyport why` and the log who still comes with a bearer token, and move them",
    waivable: true,
    check: onIntegrations(
      ({ integration: { bearerUntilMs }, at }, { now }) =>
        bearerUntilMs !== undefined &&
        bearerUntilMs > now &&
        bearerUntilMs <= now + bearerSoonDays * dayMs && {
          at: at("proof", "until"),
          message: `bearer tokens are refused after ${dayOf(bearerUntilMs)}`,
        },
    ),
  },
  {
    id: "bearer-too-long",
    severity: "warning",
    title: "A bearer exception lasts more than 90 days",
    why: "An exception without a near end is the rule; nobody moves a caller that may stay.",
    fix: "write a day within 90 days, and prolong it when you must",
    waivable: true,
    check: onIntegrations(
      ({ integration: { bearerUntilMs, proof }, at }, { now }) =>
        bearerUntilMs !== undefined &&
        bearerUntilMs > now + bearerMaxDays * dayMs && {
          at: at("proof", "until"),
          message: `${proof.includes("bearer") ? "bearer tokens" : "API keys"} are accepted until ${dayOf(bearerUntilMs)}`,
        },
    ),
  },
  {
    id: "bearer-reason-says-nothing",
    severity: "warning",
    title: "The reason of a bearer exception explains nothing",
    why: "The reason tells the next reviewer what has to happen before the exception can end.",
    fix: "say what keeps the caller from DPoP or mTLS, and what changes that",
    waivable: true,
    check: onIntegrations(({ integration: { bearerReason, from, to }, at }) => {
      const why = bearerReason === undefined ? null : emptiness(bearerReason, [from, to, "bearer", "token"]);
      return why !== null && { at: at("proof", "reason"), message: `\`reason\` says nothing: ${why}` };
    }),
  },
  {
    id: "bearer-on-sensitive",
    severity: "error",
    title: "Bearer tokens reach sensitive data or effects",
    why: "A stolen token then reads confidential data or changes something, from anywhere, until it expires.",
    fix: "accept dpop and mtls only, or take the operation out of this integration",
    waivable: true,
    check: onIntegrations(({ integration, granted, at }) => {
      if (integration.proof.every(isBound)) return [];
      const restricted = granted.find(({ classification }) => classification === "restricted");
      const other = granted.find(
        ({ classification, method }) =>
          classification === "confidential" || !["GET", "HEAD", "OPTIONS"].includes(method),
      );
      const worst = restricted ?? other;
      if (worst === undefined) return [];
      const is = worst.classification === "restricted" || worst.classification === "confidential";
      const message = `\`${worst.name}\` ${is ? `is ${worst.classification}` : "has an effect"} and is open to ${integration.proof.includes("bearer") ? "bearer tokens" : "API keys"}`;
      return { at: at("proof", "accept"), message, severity: restricted === undefined ? "warning" : "error" };
    }),
  },
  {
    id: "caller-without-identity",
    severity: "warning",
    title: "A system is granted operations and has no identity",
    why: "Nobody can call as it, so the grant waits for whoever adds a key first.",
    fix: "add `identity` with a `client` or a `certificate`",
    waivable: true,
  },
  {
    id: "client-without-keys",
    severity: "info",
    title: "A client has no keys",
    why: "It cannot get a token until somebody adds a key, and then it is not in the review of this file.",
    fix: "make a pair with `sallyport client-key new` and name the public half under `identity.keys`",
    waivable: true,
  },
  {
    id: "key-shared",
    severity: "error",
    title: "Two systems have the same key",
    why: "Each can call as the other: the log names the wrong one, and neither can be cut off alone.",
    fix: "make a pair for each, and treat the shared one as known to both",
    waivable: true,
    check: (lint) => {
      const holders = Map.groupBy(clientKeys(lint), ({ key }) => key);
      return [...holders.values()].flatMap((held) => {
        const names = [...new Set(held.map(({ holder }) => holder))];
        return names.length < 2
          ? []
          : held.map(({ at, holder }): Hit => {
              const others = names.filter((name) => name !== holder).map((name) => `\`${name}\``);
              return { at, message: `a key of \`${holder}\` also belongs to ${others.join(", ")}` };
            });
      });
    },
  },
  {
    id: "key-across-environments",
    severity: "error",
    title: "A system has the same key in two environments",
    why: "Whoever reads the key where tests run can call in production: the wall between them is gone.",
    fix: "make a pair for each environment and name it there",
    waivable: true,
    check: (lint) => {
      const held = Map.groupBy(clientKeys(lint), ({ key, holder }) => `${holder} ${key}`);
      return [...held.values()].flatMap((same) => {
        const names = [...new Set(same.map(({ environment }) => environment))];
        return names.length < 2
          ? []
          : same.map(
              ({ at, holder }): Hit => ({
                at,
                message: `a key of \`${holder}\` is the same in ${names.join(" and ")}`,
              }),
            );
      });
    },
  },
  {
    id: "key-twice",
    severity: "info",
    title: "A client names the same key twice",
    why: "Taking one of the two out looks like a revocation and is none.",
    fix: "name it once",
    waivable: true,
    check: onSystems(({ system, at }) =>
      system.clients
        .filter(({ keys }) => new Set(keys.map(keyId)).size < keys.length)
        .map(() => ({ at: at("identity", "keys"), message: "the same key stands here twice" })),
    ),
  },
  {
    id: "keys-too-many",
    severity: "info",
    title: "A client has more than three keys",
    why: "A rotation needs two; old keys that stay are keys that nobody watches.",
    fix: "take out the ones that are no longer used",
    waivable: true,
    check: onSystems(({ system, at }) =>
      system.clients
        .filter(({ keys }) => keys.length > keysMax)
        .map(({ keys }) => ({ at: at("identity", "keys"), message: `${keys.length} keys can speak for it` })),
    ),
  },
  {
    id: "key-old",
    severity: "info",
    title: "A key is named after a day more than 400 days ago",
    why: "A key that is never changed has had the longest time to leak; its name says how old it is.",
    fix: "make a new pair, name both for a day, then take the old one out",
    waivable: true,
    check: onSystems(({ system, at }, { now }) =>
      system.clients.flatMap(({ keys }) =>
        keys.flatMap(({ kid = "" }): Hit[] => {
          const [day] = /20\d\d-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?/.exec(kid) ?? [];
          const madeMs = day === undefined ? Number.NaN : Date.parse(day);
          if (Number.isNaN(madeMs) || now - madeMs <= keyAgeMaxDays * dayMs) return [];
          return [{ at: at("identity", "keys"), message: `the key \`${kid.slice(0, 64)}\` is older than 400 days` }];
        }),
      ),
    ),
  },
  {
    id: "certificate-name-wide",
    severity: "warning",
    title: "A certificate identity that more than one workload may hold",
    why: "A whole domain, or a whole SPIFFE trust domain, is not a workload: any service that gets a certificate for it calls as this system.",
    fix: "declare the one name of this workload, for example `spiffe://acme.example/orders`",
    waivable: true,
    check: onSystems(({ system, at }) =>
      system.certificates
        .filter(({ kind, value }) =>
          kind === "dns"
            ? value.split(".").length <= 2
            : kind === "uri" && /^[a-z][a-z0-9+.-]*:\/\/[^/]*\/?$/.test(value),
        )
        .map(({ value }) => ({ at: at("identity", "certificate"), message: `\`${value}\` names no single workload` })),
    ),
  },
  {
    id: "certificate-pinned",
    severity: "info",
    title: "A system is known by the hash of one certificate",
    why: "Its next certificate is another one: at the renewal the system is locked out, and somebody widens the rule in a hurry.",
    fix: "declare the `uri` or `dns` name that stays, or plan the change with two entries",
    waivable: true,
    check: onSystems(
      ({ system, at }) =>
        system.certificates.length === 1 &&
        system.certificates[0]?.kind === "x5t" && {
          at: at("identity", "certificate"),
          message: "the identity ends with this certificate",
        },
    ),
  },
  {
    id: "operator-key-shared",
    severity: "error",
    title: "An operator's key is used by somebody else too",
    why: "The log then cannot say who decided, nobody can be cut off alone, and a workload's host holds an operator's key.",
    fix: "make a pair for each person, kept by that person alone",
    waivable: true,
    check: (lint) => {
      const owned = lint.estate.operators.flatMap(({ id, keys }) => keys.map((jwk) => ({ id, key: keyId(jwk) })));
      const workloads = new Map(clientKeys(lint).map(({ key, holder }) => [key, holder]));
      return owned.flatMap(({ id, key }): Hit[] => {
        const other = owned.find((one) => one.key === key && one.id !== id)?.id ?? workloads.get(key);
        const at = estatePlace(lint.sources, "operators", id, "keys");
        return other === undefined ? [] : [{ at, message: `a key of \`${id}\` also belongs to \`${other}\`` }];
      });
    },
  },
];
