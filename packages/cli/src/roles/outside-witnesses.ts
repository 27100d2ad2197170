// Promises the outside witnesses of the command line, each a URL with its key, or what is wrong with them. Trusts the operator who names them.
// Specified in docs/witnesses.md "Outside witnesses".
import { type OutsideWitness, refuseWitness } from "@sallyport/kernel/witness/http-witness.ts";
import { outsideWitnessesMax } from "@sallyport/kernel/witness/outside-set.ts";
import { CommandEnd, exitCode } from "../exit.ts";

/** Throws CommandEnd (bad use). Their hosts may be private ones: the operator named them. */
export function parseWitnesses(urls: readonly string[], keys: readonly string[]): readonly OutsideWitness[] {
  if (urls.length !== keys.length || urls.length > outsideWitnessesMax)
    throw new CommandEnd(
      exitCode.badUse,
      `${urls.length} --witness and ${keys.length} --witness-key`,
      `give each witness its verifier key, in the same order, and at most ${outsideWitnessesMax}`,
    );
  return urls.map((url, i) => {
    const witness = { url, key: keys[i] ?? "", allowPrivate: true };
    const refusal = refuseWitness(witness);
    if (refusal === null) return witness;
    throw new CommandEnd(exitCode.badUse, refusal, "ask the witness's operator for its URL and verifier key");
  });
}
