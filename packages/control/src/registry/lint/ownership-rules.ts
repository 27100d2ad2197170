// Promises to find what nobody answers for, what nobody explains, and dates that passed or lie too far away. Pure. Pages: docs/lint.
import { dayMs, dayOf, estatePlace, onIntegrations, onSystems, type Rule } from "./rule.ts";

const reviewMaxDays = 366;
const expirySoonDays = 30;

export const ownershipRules: readonly Rule[] = [
  {
    id: "no-teams",
    severity: "info",
    title: "The estate declares no teams",
    why: "Everything belongs to team:default, so a finding, an expiring key or an incident has nobody to go to.",
    fix: "declare `teams` in sallyport.yaml with a contact each, and give systems an `owner`",
    waivable: true,
    check: ({ estate, sources }) =>
      estate.teams.length > 1
        ? []
        : [{ at: estatePlace(sources, "teams"), message: "no team is declared, so nobody answers for anything" }],
  },
  {
    id: "unowned",
    severity: "warning",
    title: "A system or an integration belongs to team:default",
    why: "The estate has teams, and nobody took this one: reviews, alerts and cut-offs have no addressee.",
    fix: "write `owner: team:<id>`",
    waivable: true,
    check: (lint) => {
      if (lint.estate.teams.length < 2) return [];
      const message = "nobody owns it: `owner` is team:default";
      return [
        ...onSystems(({ system, at }) => system.owner === "team:default" && { at: at("owner"), message })(lint),
        // Without an owner of its own an integration has its consumer's, which is said there.
        ...onIntegrations(
          ({ integration, consumer, at }) =>
            integration.owner === "team:default" && consumer?.owner !== "team:default" && { at: at("owner"), message },
        )(lint),
      ];
    },
  },
  {
    id: "team-without-contact",
    severity: "info",
    title: "A team has no contact",
    why: "At night somebody has to be reached; a team without an address is a name on paper.",
    fix: "add `contact`: an address or a channel",
    waivable: true,
    check: ({ estate, sources }) =>
      estate.teams
        .filter(({ id, contact }) => id !== "default" && contact === undefined)
        .map(({ id }) => ({
          at: estatePlace(sources, "teams", id),
          message: `the team \`${id}\` cannot be reached: it has no \`contact\``,
        })),
  },
  {
    id: "purpose-says-nothing",
    severity: "warning",
    title: "A purpose that explains nothing",
    why: "The purpose is what an auditor, a data subject and the next reviewer get to read; without it nobody can say whether the access is still needed.",
    fix: "say in a sentence why this data crosses, for example `Charge a customer when an order ships`",
    waivable: true,
    check: onIntegrations(({ integration, at }) => {
      const why = emptiness(integration.purpose, [integration.from, integration.to, integration.id]);
      return why !== null && { at: at("purpose"), message: `\`purpose\` says nothing: ${why}` };
    }),
  },
  {
    id: "review-missing",
    severity: "info",
    title: "An integration has no review date",
    why: "Access that nobody looks at again outlives its need.",
    fix: "add `review: <date>`, within a year",
    waivable: true,
    check: onIntegrations(
      ({ integration, at }) =>
        integration.reviewMs === undefined &&
        integration.expiresAtMs === undefined && { at: at("integration"), message: "nobody has to look at it again" },
    ),
  },
  {
    id: "review-overdue",
    severity: "warning",
    title: "A review is overdue",
    why: "The estate's own owners set this day; past it nobody has confirmed that the access is still needed.",
    fix: "look at the integration, then write the day of the next review",
    waivable: true,
  },
  {
    id: "review-too-far",
    severity: "warning",
    title: "A review lies more than a year ahead",
    why: "People, purposes and data change within a year; a review in five years is none.",
    fix: "write a day within a year",
    waivable: true,
    check: onIntegrations(
      ({ integration, at }, { now }) =>
        integration.reviewMs !== undefined &&
        integration.reviewMs > now + reviewMaxDays * dayMs && {
          at: at("review"),
          message: `the next review is on ${dayOf(integration.reviewMs)}, more than a year away`,
        },
    ),
  },
  {
    id: "integration-expired",
    severity: "warning",
    title: "An integration has expired",
    why: "Its file still promises an access that has ended, or, with `onExpiry: alert`, one that should have.",
    fix: "remove the file, or write a later day",
    waivable: true,
  },
  {
    id: "integration-expires-soon",
    severity: "warning",
    title: "An integration expires within 30 days",
    why: "On that day its traffic stops; whoever depends on it should hear of it before.",
    fix: "plan the end with its owner, or write a later day",
    waivable: true,
    check: onIntegrations(
      ({ integration: { expiresAtMs, onExpiry }, at }, { now }) =>
        expiresAtMs !== undefined &&
        expiresAtMs > now &&
        expiresAtMs <= now + expirySoonDays * dayMs && {
          at: at("expires"),
          message: `${onExpiry === "suspend" ? "the traffic ends" : "the end is announced"} after ${dayOf(expiresAtMs)}`,
        },
    ),
  },
  {
    id: "expiry-without-end",
    severity: "info",
    title: "An end that ends nothing",
    why: "With `onExpiry: alert` the traffic goes on after `expires`; the date reads like a promise and is a reminder.",
    fix: "remove `onExpiry`, so that the traffic ends, or use `review` for a reminder",
    waivable: true,
    check: onIntegrations(
      ({ integration, at }) =>
        integration.expiresAtMs !== undefined &&
        integration.onExpiry === "alert" && { at: at("onExpiry"), message: "the traffic goes on after `expires`" },
    ),
  },
];

const fillers = new Set(
  "a an access and api as call calls data fixme flow for from in integration integrations is it needed needs new none of on or placeholder purpose request requests required see system systems tbd temp test testing the to todo traffic use used uses various with xxx".split(
    " ",
  ),
);

/** Why a sentence says nothing, or null. Words that only repeat the names of both ends do not count. */
export function emptiness(text: string, names: readonly string[]): string | null {
  const known = new Set(names.flatMap((name) => name.toLowerCase().split(/[^a-z0-9]+/)));
  const words = text
    .toLowerCase()
    .split(/[^\p{L}\p{N}]+/u)
    .filter((word) => word !== "");
  const telling = words.filter((word) => !fillers.has(word) && !known.has(word));
  // A script without spaces is one word and may be a sentence.
  if (telling.some((word) => /[^\u0000-\u024f]/.test(word))) return null;
  if (words.length < 2) return "one word is no reason";
  if (telling.length < 2) return "it only repeats what the file says anyway";
  return null;
}
