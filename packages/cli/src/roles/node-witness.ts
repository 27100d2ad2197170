// Promises both sides of witnessing in a gateway: it cosigns control's log, control and outside witnesses cosign its own, and what contradicts itself
// is kept on disk and told to control. Trusts the channel to be control's. Specified in docs/witnesses.md and docs/formats/join.md "Witnesses".
import { join } from "node:path";
import type { NodeIdentity } from "@sallyport/gateway/join/node-identity.ts";
import type { Dialer } from "@sallyport/kernel/dial/port.ts";
import type { OpenedLog } from "@sallyport/kernel/log/log-client.ts";
import { sha256, verifierFor } from "@sallyport/kernel/log/log-crypto.ts";
import { defaultOriginPrefix } from "@sallyport/kernel/log/origin.ts";
import { realDisk } from "@sallyport/kernel/log/real-disk.ts";
import { type AskedWitness, Cosigning } from "@sallyport/kernel/witness/cosigning.ts";
import type { LogFinding } from "@sallyport/kernel/witness/finding.ts";
import { HeldTrees } from "@sallyport/kernel/witness/held-trees.ts";
import type { OutsideWitness } from "@sallyport/kernel/witness/http-witness.ts";
import { decideLink, readLink } from "@sallyport/kernel/witness/link.ts";
import { conflictWords, OutsideSet } from "@sallyport/kernel/witness/outside-set.ts";
import { OwnLog } from "@sallyport/kernel/witness/own-log.ts";
import { Witness } from "@sallyport/kernel/witness/witness.ts";
import { loadWitnessKey } from "@sallyport/kernel/witness/witness-key.ts";
import { sameLog } from "@sallyport/protocol/audit/checkpoint.ts";
import { parseWitnessKey } from "@sallyport/protocol/audit/cosignature.ts";
import { type NoteVerifier, parseVerifierKey } from "@sallyport/protocol/audit/note.ts";
import { originHash, parseSubmission } from "@sallyport/protocol/audit/witness-request.ts";
import type { WitnessQuestion, WitnessReply } from "@sallyport/protocol/channel/messages.ts";
import type { AskingTransport } from "./channel-transport.ts";
import { EstateWitnesses, parseNamedWitnesses } from "./estate-witnesses.ts";
import { FindingFiles } from "./finding-files.ts";
import type { RoleLogger } from "./running-role.ts";
import { systemClock, systemRandom } from "./system-ports.ts";

export interface NodeWitness {
  /** Control asks to have its log witnessed. Rejects when the disk fails: then nothing was cosigned. */
  answer(question: WitnessQuestion): Promise<WitnessReply>;
  /** Takes this node's checkpoints to its witnesses from now on; returns how to stop. */
  begin(): () => void;
  close(): Promise<void>;
}

export interface NodeWitnessOptions {
  readonly dataDirectory: string;
  readonly identity: NodeIdentity;
  readonly channel: AskingTransport;
  readonly log: OpenedLog;
  readonly dialer: Dialer;
  readonly witnesses: readonly OutsideWitness[];
  readonly logger: RoleLogger;
}

const roundMs = 5_000;

/** Throws LogFault `log-locked`, `log-corrupt` or `log-key`, each with what to do. */
export function openNodeWitness(options: NodeWitnessOptions): NodeWitness {
  const { dataDirectory, identity, channel, log, dialer, logger } = options;
  const { tenant, environment, node } = identity;
  const disk = realDisk();
  const folder = join(dataDirectory, "witness");
  const name = `${defaultOriginPrefix}/${tenant}/${environment}/${node}/witness`;
  const signer = loadWitnessKey(disk, { folder, file: node, name });
  const findings = new FindingFiles(disk, join(folder, "findings"), options);
  const found = async (finding: LogFinding) => findings.keep(finding);
  const trees = new HeldTrees(disk, join(folder, "trees"));
  const witness = new Witness({ state: trees, signer, now: () => systemClock.now(), found });
  const outsiders = new OutsideSet(() => dialer, options.witnesses);
  const estate = new EstateWitnesses(disk, folder);
  const take = (named: readonly OutsideWitness[]) => {
    for (const gone of outsiders.take(named)) cosigning.forget(gone);
    for (const text of newOnes(conflictsSaid, outsiders.conflicts.map(conflictWords)))
      logger.warn({ witness: text }, "a witness of the estate is not asked");
  };
  const conflictsSaid = new Set<string>();
  const cosigning = new Cosigning({
    log: new OwnLog(log, disk, join(dataDirectory, "log")),
    witnesses: () => [controlAsWitness(channel, (named) => estate.keep(named) && take(named)), ...outsiders.asked()],
    monotonic: () => systemClock.monotonic(),
    now: () => systemClock.now(),
    random: systemRandom,
    found,
    fault: (who, why) => logger.warn({ witness: who, err: why }, "a checkpoint was not cosigned yet"),
  });
  // While control is away the witnesses go on.
  take(estate.read());
  return {
    answer: async (question) => {
      const keys = async (origin: string) => keysOf(question, { tenant, trees, origin, found, witness: name });
      const { status, body } = await witness.add(question.body, { isKeeper: true, keys });
      if (status === 200 && question.begins !== null) await checkLink(question, { trees, found, witness: name });
      const origin = status === 200 ? undefined : parseSubmission(question.body)?.checkpoint.origin;
      return { key: witness.verifierKey, status, body, kept: origin === undefined ? null : await witness.kept(origin) };
    },
    begin: () => {
      let running = false;
      const timer = setInterval(() => {
        // One at a time, within the bounds of each witness.
        if (running) return;
        running = true;
        void Promise.all([cosigning.round(), findings.tell()]).finally(() => {
          running = false;
        });
      }, roundMs);
      timer.unref();
      return () => clearInterval(timer);
    },
    close: async () => {
      trees.close();
      await outsiders.close();
    },
  };
}

/** Those that were not said before. */
function newOnes(said: Set<string>, texts: readonly string[]): readonly string[] {
  const fresh = texts.filter((text) => !said.has(text));
  for (const text of fresh) said.add(text);
  return fresh;
}

/**
 * Control is the first witness of every gateway; the channel proves it, so the key it names is its own, and so are the witnesses outside that
 * it names for its estate.
 */
function controlAsWitness(channel: AskingTransport, named: (outside: readonly OutsideWitness[]) => void): AskedWitness {
  return {
    name: "control",
    key: async () => {
      const answer = await channel.ask("/channel/v1/witness", { method: "GET" });
      // A control of before has no witness.
      if (answer.status === 404) return null;
      const said: unknown = JSON.parse(answer.body);
      const outside = parseNamedWitnesses(said);
      if (outside !== null) named(outside);
      const key = typeof said === "object" && said !== null && "key" in said ? said.key : null;
      return typeof key === "string" ? parseWitnessKey(sha256, key) : null;
    },
    submit: (body) => channel.ask("/channel/v1/witness/add-checkpoint", { method: "POST", body }),
    kept: async (origin) => {
      const path = `/channel/v1/witness/${originHash(sha256, origin)}/checkpoint`;
      const answer = await channel.ask(path, { method: "GET" });
      return answer.status === 200 ? answer.body : null;
    },
  };
}

interface Held {
  readonly trees: HeldTrees;
  readonly found: (finding: LogFinding) => Promise<void>;
  /** Name of this node's witness. */
  readonly witness: string;
}

/** Control's logs alone, each under the key it had when it was first cosigned. */
async function keysOf(
  question: WitnessQuestion,
  { tenant, trees, origin, found, witness }: Held & { readonly tenant: string; readonly origin: string },
): Promise<readonly NoteVerifier[] | null> {
  const [, of, environment, , role, year, ...more] = origin.split("/");
  const isControls = of === tenant && environment === "sallyport" && role === "control" && more.length === 0;
  const offered = parseVerifierKey(sha256, question.key);
  if (!isControls || year === undefined || offered === null) return null;
  const known = [...trees.all()].find(([held]) => sameLog(held, origin))?.[1];
  if (known === undefined) return [verifierFor(origin, offered.publicKey)];
  const pinned = Buffer.from(known.logKey, "base64");
  if (Buffer.compare(pinned, offered.publicKey) !== 0)
    await found({
      code: "key-changed",
      origin,
      witness,
      kept: known.note,
      shown: parseSubmission(question.body)?.note ?? "",
    });
  return [verifierFor(origin, pinned)];
}

/** A log that begins says which it goes on from: is it from before what this witness saw? */
async function checkLink({ key, begins }: WitnessQuestion, { trees, found, witness }: Held): Promise<void> {
  const verifier = parseVerifierKey(sha256, key);
  const link = begins === null || verifier === null ? null : readLink(begins, [verifier]);
  if (link === null) return;
  const finding = decideLink(link, await trees.find(link.previousOrigin), witness);
  if (finding !== null) await found(finding);
}
