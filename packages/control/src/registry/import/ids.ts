// Promises names of somebody else's as ids and operation names of ours, the same for the same source, each once. Pure.
// Trusts words.ts for the grammar. Specified in docs/configuration.md "Words".
import { idMax } from "../config/bounds.ts";
import { reservedIds } from "../config/words.ts";

/** Names given out so far. */
export interface Names {
  /** The wanted name, or with the lowest number that makes it new. */
  take(wanted: string): { readonly name: string; readonly collided: boolean };
}

export function createNames(lengthMax: number, taken: Iterable<string> = []): Names {
  const given = new Set(taken);
  return {
    take(wanted) {
      let name = wanted.slice(0, lengthMax);
      for (let number = 2; given.has(name); number += 1) {
        const suffix = `-${number}`;
        name = wanted.slice(0, lengthMax - suffix.length) + suffix;
      }
      given.add(name);
      return { name, collided: name !== wanted.slice(0, lengthMax) };
    },
  };
}

export const operationNameMax = idMax * 2;

/** `Orders Service_v2` becomes `orders-service-v2`; what has no letter at all becomes the fallback. */
export function idFrom(text: string, fallback: string): string {
  const words = wordsOf(text).join("-").replaceAll(/-+/g, "-");
  const id = /^[a-z]/.test(words) ? words : words === "" ? fallback : `${fallback}-${words}`;
  const cut = id.slice(0, idMax - "-system".length).replace(/-+$/, "");
  return reservedIds.has(cut) ? `${cut}-system` : cut;
}

/** `createInvoice` becomes `create-invoice`, `billing/invoices.Get` `billing.invoices.get`; null when nothing is left. */
export function operationNameFrom(text: string): string | null {
  const parts = text
    .split(/[./:]+/)
    .map((part) => wordsOf(part).join("-"))
    .filter((part) => part !== "")
    .map((part) => (/^[a-z]/.test(part) ? part : `n${part}`));
  return parts.length === 0
    ? null
    : parts
        .join(".")
        .slice(0, operationNameMax - 6)
        .replace(/[.-]+$/, "");
}

function wordsOf(text: string): readonly string[] {
  return text
    .normalize("NFKD")
    .replaceAll(/\p{M}/gu, "")
    .replaceAll(/([a-z0-9])([A-Z])/g, "$1 $2")
    .replaceAll(/([A-Z]+)([A-Z][a-z])/g, "$1 $2")
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter((word) => word !== "");
}
