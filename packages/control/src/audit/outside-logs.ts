// Promises whose logs are cosigned for strangers: those the estate names, each under its key, and never one that has the origin of a log of ours.
// Trusts the store for which key a node's log and a witnessed origin have. Specified in docs/witnesses.md "A witness for others".
import { sha256, verifierFor } from "@sallyport/kernel/log/log-crypto.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { Witness } from "@sallyport/kernel/witness/witness.ts";
import { sameBytes } from "@sallyport/protocol/audit/base64.ts";
import { sameLog } from "@sallyport/protocol/audit/checkpoint.ts";
import { type NoteVerifier, parseVerifierKey } from "@sallyport/protocol/audit/note.ts";
import type { ControlCommands } from "../commands.ts";
import type { WitnessedLogConfig } from "../registry/config/estate.ts";
import type { PublicWitness } from "./witness-listener.ts";

export interface OutsideLogsOptions {
  readonly store: Pick<Store<ControlCommands>, "run">;
  /** Of this control's own log. */
  readonly own: { readonly origin: string; readonly verifierKey: string };
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** The key a named log has under an origin; null: no named log has it. Pure. */
export function namedKey(
  logs: readonly WitnessedLogConfig[],
  origin: string,
  now: number,
): { readonly id: string; readonly verifier: NoteVerifier } | null {
  for (const { id, key, everyYear } of logs) {
    const named = parseVerifierKey(sha256, key);
    if (named === null) continue;
    const isNamed = named.name === origin || (everyYear && sameLog(named.name, origin) && isYearByNow(origin, now));
    if (isNamed) return { id, verifier: verifierFor(origin, named.publicKey) };
  }
  return null;
}

/** Of this century, and at most the next one: clocks differ at a year's turn. */
function isYearByNow(origin: string, now: number): boolean {
  const year = /\/(2\d{3})$/.exec(origin)?.[1];
  return year !== undefined && Number(year) <= new Date(now).getUTCFullYear() + 1;
}

/** Why a named log is not cosigned under this origin; null: nothing speaks against it. */
export async function whyOurs(
  { store, own }: OutsideLogsOptions,
  origin: string,
  publicKey: Uint8Array,
): Promise<string | null> {
  const ownKey = parseVerifierKey(sha256, own.verifierKey)?.publicKey ?? new Uint8Array(0);
  if (sameLog(own.origin, origin) || sameBytes(ownKey, publicKey)) return "it is the log of this control";
  const key = Buffer.from(publicKey).toString("base64");
  const [, , , node = ""] = origin.split("/");
  const nodeKey = await store.run("findLogKey", { node });
  if (nodeKey !== null && nodeKey !== key) return `its origin is that of the log of ${node}, which has another key`;
  const kept = await store.run("findWitnessed", { origin });
  return kept !== null && kept.logKey !== key ? "its origin was cosigned before, under another key" : null;
}

/** Keys trusted for an origin that a stranger submits; null: not known here. */
export async function outsideKeys(
  options: OutsideLogsOptions,
  logs: readonly WitnessedLogConfig[],
  origin: string,
): Promise<readonly NoteVerifier[] | null> {
  const named = namedKey(logs, origin, options.now());
  if (named === null || (await whyOurs(options, origin, named.verifier.publicKey)) !== null) return null;
  return [named.verifier];
}

/** Control's witness as strangers have it; `logs`: what the estate names now. */
export function witnessForOthers(
  options: OutsideLogsOptions,
  witness: Witness,
  logs: () => readonly WitnessedLogConfig[],
): PublicWitness {
  return {
    addOutside: (body) =>
      witness.add(body, { isKeeper: false, keys: (origin) => outsideKeys(options, logs(), origin) }),
    keptOutside: async (hash) => {
      const kept = await options.store.run("findWitnessedByHash", { hash });
      const keys = kept === null ? null : await outsideKeys(options, logs(), kept.origin);
      return kept === null || keys === null ? null : kept.note;
    },
  };
}

/** Named logs that are not cosigned, as sentences without their full stop. */
export async function outsideConflicts(
  options: OutsideLogsOptions,
  logs: readonly WitnessedLogConfig[],
): Promise<readonly string[]> {
  const said: string[] = [];
  for (const { id, key } of logs) {
    const named = parseVerifierKey(sha256, key);
    const why = named === null ? null : await whyOurs(options, named.name, named.publicKey);
    if (why !== null) said.push(`the log ${id} of the estate is not cosigned: ${why}`);
  }
  return said;
}
