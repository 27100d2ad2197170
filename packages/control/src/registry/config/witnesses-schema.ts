// Promises what may be written under `witnesses` in sallyport.yaml: one sentence per key. Trusts nothing.
// The reference in docs/configuration.md is generated from these types; what the keys do: docs/witnesses.md.
import { z } from "zod";
import { id, logKey, witnessKey, witnessUrl } from "./words.ts";

/** Outside witnesses of one estate: as many as one log asks (kernel/witness/outside-set.ts). */
export const outsideMax = 8;
export const witnessedLogsMax = 256;

const outside = z.strictObject({
  url: witnessUrl().describe("Its submission and monitoring prefix (C2SP tlog-witness), http or https."),
  key: witnessKey().describe("Its verifier key: `<name>+<key id>+<base64>` of type 0x04, Ed25519 cosignatures."),
  allowPrivate: z.boolean().prefault(false).describe("It may stand at a private, loopback or link-local address."),
});

const log = z.strictObject({
  key: logKey().describe("Verifier key of the log; its name is the log's origin."),
  everyYear: z
    .boolean()
    .prefault(false)
    .describe(
      "The origin ends in a year, and the key signs every year's: as Sallyport's logs do. Without it only the origin that the key names.",
    ),
});

const quorum = z
  .union([z.literal("all"), z.int().min(1).max(outsideMax)])
  .prefault("all")
  .describe("How many of the outside witnesses must have cosigned a checkpoint before it counts as witnessed.");

export const outsideSchema = outside;
export const witnessedLogSchema = log;
/** What of `witnesses` names nothing. */
export const quorumSchema = z.strictObject({ quorum });

export const witnessesSchema = z.strictObject({
  quorum,
  outside: z
    .record(id(), outside)
    .prefault({})
    .describe("Witnesses outside that cosign the logs of control and of every gateway, by name, at most 8."),
  logs: z
    .record(id(), log)
    .prefault({})
    .describe("Logs of others that control cosigns at `serve --witness-listen`, by name."),
});
