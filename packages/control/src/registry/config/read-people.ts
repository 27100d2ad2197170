// Promises that every way to sign in is one that exists, and that every provider outside is one that is used and can be reached. Trusts the types
// (people-schema.ts). Specified in docs/identity/outside-login.md.
import { errorAt, type Finding } from "./finding.ts";
import { ownWays, type PeopleSource } from "./people-schema.ts";
import { needsPrivateWord } from "./private-hosts.ts";
import { type MapTree, spotOf } from "./yaml-tree.ts";

/** `tree`: the rules of one environment. */
export function refusePeople(tree: MapTree, people: PeopleSource | undefined): readonly Finding[] {
  if (people === undefined) return [];
  const { signIn, providers } = people;
  const own: readonly string[] = ownWays;
  const at = (...path: (string | number)[]) => spotOf(tree, ["people", ...path]);
  return [
    ...signIn.flatMap((way, index) =>
      own.includes(way) || Object.hasOwn(providers, way)
        ? []
        : [
            errorAt(
              at("signIn", index),
              `there is no way to sign in called \`${way}\``,
              `write passkey, password or the id of a provider under \`providers\``,
            ),
          ],
    ),
    ...Object.entries(providers).flatMap(([id, { issuer, allowPrivate }]) => [
      ...(own.includes(id)
        ? [errorAt(at("providers", id), `\`${id}\` is a way of our own`, "give the provider another id")]
        : []),
      ...(signIn.includes(id)
        ? []
        : [errorAt(at("providers", id), "nobody may sign in through this provider", `add \`${id}\` to \`signIn\``)]),
      ...(!allowPrivate && needsPrivateWord(new URL(issuer).hostname)
        ? [
            errorAt(
              at("providers", id, "issuer"),
              "the URL leads to a private or loopback address",
              "add `allowPrivate: true` if that is meant",
            ),
          ]
        : []),
    ]),
  ];
}
