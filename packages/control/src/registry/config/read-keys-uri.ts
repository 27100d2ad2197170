// Promises where keys are fetched, or what is wrong with it: a private address only with the word for it. Trusts the types (words.ts `httpsUrl`).
// Specified in docs/identity/outside-issuers.md "Keys".
import type { KeysUri } from "./estate.ts";
import { errorAt, type Finding } from "./finding.ts";
import { needsPrivateWord } from "./private-hosts.ts";
import { type MapTree, spotOf } from "./yaml-tree.ts";

interface Declared {
  readonly uri: string;
  readonly allowPrivate: boolean;
  readonly trust: string | undefined;
}

/** `at`: where the URL stands; `word`: how to write that a private address is meant. */
export function readKeysUri(
  { tree, findings }: { readonly tree: MapTree; readonly findings: Finding[] },
  { at, word }: { readonly at: readonly string[]; readonly word: string },
  { uri, allowPrivate, trust }: Declared,
): KeysUri {
  if (!allowPrivate && needsPrivateWord(new URL(uri).hostname))
    findings.push(
      errorAt(spotOf(tree, at), "the URL leads to a private or loopback address", `add \`${word}\` if that is meant`),
    );
  return { uri, allowPrivate, ...(trust === undefined ? {} : { trust }) };
}
