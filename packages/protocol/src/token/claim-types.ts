// Promises typed readings of single claims: a value is what the format says or it is undefined, never coerced.
// Trusts nothing. Specified in docs/formats/token.md §1 and §3.
import type { Actor } from "../principal.ts";
import { isJsonObject } from "./json.ts";

/** 9999-12-31T23:59:59Z; anything later is a mistake or an attempt at overflow. */
const numericDateMax = 253_402_300_799;
const textUnitsMax = 512;
const tokenIdMax = 128;
const actorDepthMax = 8;
/** One grant and at most eight exchanges after it, as deep as an `act` chain may be, each with the client it was exchanged from. */
export const grantsMax = 17;
/** What stands before a client in `gid`: one whose token this one was exchanged for, by another. */
export const clientLineagePrefix = "cli_";
const scopeUnitsMax = 4096;
const scopeTokensMax = 256;

const controlCharacter = /[\u0000-\u001f\u007f]/;
const printableAscii = /^[\x21-\x7e]+$/;
// RFC 6749 §3.3: NQCHAR, single spaces between.
const scopeTokens = /^[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*$/;

/** Whole seconds since the epoch. A string, a fraction, zero, a negative or a huge number is undefined. */
export function numericDate(value: unknown): number | undefined {
  return typeof value === "number" && Number.isInteger(value) && value > 0 && value <= numericDateMax
    ? value
    : undefined;
}

export function claimText(value: unknown): string | undefined {
  if (typeof value !== "string" || value.length === 0 || value.length > textUnitsMax) return undefined;
  return controlCharacter.test(value) || !value.isWellFormed() ? undefined : value;
}

/** Printable ASCII of 1 to `unitsMax` characters: ids and nonces that become keys of bounded tables. */
export function claimId(value: unknown, unitsMax = tokenIdMax): string | undefined {
  return typeof value === "string" && value.length <= unitsMax && printableAscii.test(value) ? value : undefined;
}

export function claimScope(value: unknown): string | undefined {
  if (typeof value !== "string" || value.length > scopeUnitsMax || !scopeTokens.test(value)) return undefined;
  return value.split(" ", scopeTokensMax + 1).length <= scopeTokensMax ? value : undefined;
}

/** Ids of the grants a token descends from: 1 to 17, none twice. */
export function claimGrants(value: unknown): readonly string[] | undefined {
  if (!Array.isArray(value) || value.length === 0 || value.length > grantsMax) return undefined;
  const ids: string[] = [];
  for (const one of value) {
    const id = claimId(one);
    if (id === undefined || ids.includes(id)) return undefined;
    ids.push(id);
  }
  return ids;
}

/** RFC 8693 §4.1 chain, at most eight deep, with no members but `sub` and `act`. */
export function claimActor(value: unknown, depth = 1): Actor | undefined {
  if (depth > actorDepthMax || !isJsonObject(value)) return undefined;
  const sub = claimText(value.sub);
  if (sub === undefined) return undefined;
  if (value.act === undefined) return Object.keys(value).length === 1 ? { sub } : undefined;
  if (Object.keys(value).length !== 2) return undefined;
  const act = claimActor(value.act, depth + 1);
  return act === undefined ? undefined : { sub, act };
}
