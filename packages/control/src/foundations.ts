// Promises what a control plane stands on, opened in order and closed in reverse: store, sealed secrets, authorities, its own log.
// Trusts the data directory. Specified in docs/control.md.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { OpenedLog } from "@sallyport/kernel/log/log-client.ts";
import { openLog } from "@sallyport/kernel/log/log-thread.ts";
import { settlingDisk } from "@sallyport/kernel/log/settling-disk.ts";
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import { writePrivateFile } from "@sallyport/kernel/seal/key-file.ts";
import {
  createRecipientKeyPair,
  createRecipientOpener,
  type RecipientOpener,
} from "@sallyport/kernel/seal/recipient.ts";
import { Secret } from "@sallyport/kernel/seal/secret.ts";
import { type DirectoryPorts, preparePrivateDirectory } from "@sallyport/kernel/store/directory.ts";
import { eventIds, idSeedBytes } from "@sallyport/kernel/store/event-id.ts";
import { openStore } from "@sallyport/kernel/store/open.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { generateSigner, signerFromPem } from "@sallyport/kernel/token-crypto.ts";
import type { TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import { Archive } from "./audit/archive/archive.ts";
import { archiveOf, ownLogOf } from "./audit/archive/archived-logs.ts";
import { Follower } from "./audit/follow/follower.ts";
import { followServices } from "./audit/follow/services.ts";
import type { ArchiveMover } from "./audit/keeping/mover.ts";
import { openMover } from "./audit/keeping/open-mover.ts";
import type { ArchiveStoreConfig } from "./audit/keeping/store-file.ts";
import { Pseudonyms } from "./audit/pseudonyms.ts";
import type { ControlCommands } from "./commands.ts";
import { PayloadKeyring } from "./payloads/payload-keys.ts";
import { Authorities } from "./pki/authorities.ts";
import { type ControlSecrets, openControlSecrets } from "./secrets/control-secrets.ts";
import { version } from "./version.ts";

export interface FoundationOptions {
  readonly tenant: string;
  readonly region: string;
  /** Made 0700 when it does not exist. */
  readonly dataDirectory: string;
  /** PostgreSQL; null: SQLite in the data directory. */
  readonly storeUrl: string | null;
  /** Schema in that PostgreSQL database; absent: `sallyport`. */
  readonly storeSchema?: string;
  readonly checkpointCopy: string | null;
  /** Where logs are kept for years; absent or null: only here. */
  readonly archiveStore?: ArchiveStoreConfig | null;
  readonly clock: Clock;
  readonly random: Random;
  readonly fault: (error: unknown) => void;
  /** What is told to the process log by a notifier. */
  readonly logger: { warn(fields: object, message: string): void };
  /** The log's disk failed: nothing is recorded any more, so the process should end. */
  readonly logEnded?: (fault: Error) => void;
  /** For tests: what statfs would say. */
  readonly directory?: DirectoryPorts;
}

export interface Foundations {
  readonly node: string;
  readonly store: Store<ControlCommands>;
  readonly secrets: ControlSecrets;
  /** What the data-plane stores of an environment hash and seal under: made at its first use, and then the same for ever. */
  readonly dataKey: (environment: string) => Promise<Uint8Array>;
  readonly authorities: Authorities;
  readonly pseudonyms: Pseudonyms;
  readonly payloadKeys: PayloadKeyring;
  readonly log: OpenedLog;
  /** What is derived from records; runs nothing until it is ordered. */
  readonly follower: Follower;
  /** Null where no archive store is configured. */
  readonly mover: ArchiveMover | null;
  /** The logs of the gateways, as far as they were shipped. */
  readonly archive: Archive;
  readonly opener: RecipientOpener;
  /** `<node>-<ulid>` */
  readonly nextId: () => string;
  /** Signs the snapshots of one group; the key is made at its first use. */
  readonly snapshotSigner: (group: string) => Promise<TokenSigner>;
  close(): Promise<void>;
}

/** Opens everything; what was opened is closed again when a later part fails. Throws StoreFault, SealFault or LogFault, each with its fix. */
export async function openFoundations(options: FoundationOptions): Promise<Foundations> {
  const { tenant, region, dataDirectory, clock, random } = options;
  // Also with PostgreSQL: the KEK, the log and its key lie here.
  preparePrivateDirectory(dataDirectory, options.directory);
  const node = nodeId(dataDirectory, random);
  const store = await openControlStore(options);
  try {
    const secrets = await openControlSecrets({ store, kekFile: join(dataDirectory, "kek.key"), clock, random });
    const log = await openLog({
      directory: ownLogOf(dataDirectory),
      identity: { tenant, environment: "sallyport", region, node, role: "control", version },
      ...(options.checkpointCopy === null ? {} : { checkpointCopies: options.checkpointCopy }),
      onAlarm: options.fault,
      ...(options.logEnded === undefined ? {} : { onEnded: options.logEnded }),
    });
    const opener = await referenceOpener(secrets, tenant, random).catch(async (error: unknown) => {
      await log.close();
      throw error;
    });
    const pseudonyms = new Pseudonyms(tenant, secrets.keyring, clock);
    const services = followServices({ tenant, store, pseudonyms, logger: options.logger });
    const follower = new Follower({ dataDirectory, services, fault: options.fault });
    const archive = new Archive({
      directory: archiveOf(dataDirectory),
      disk: settlingDisk(),
      clock,
      fault: options.fault,
    });
    return {
      node,
      store,
      archive,
      secrets,
      dataKey: (environment) => secrets.secret(tenant, `data-plane-${environment}`, () => random.bytes(32)),
      log,
      follower,
      opener,
      mover: openMover(options, store),
      authorities: new Authorities(secrets, { clock, random }),
      pseudonyms,
      payloadKeys: new PayloadKeyring({ store, keyring: secrets.keyring, clock, random }),
      nextId: () => `${node}-${eventIds(clock.now(), random.bytes(idSeedBytes))()}`,
      snapshotSigner: async (group) => signerFromPem(await pemSecret(secrets, tenant, `snapshot-${group}`)),
      close: async () => {
        await follower.close();
        await archive.close();
        await log.close();
        await store.close();
      },
    };
  } catch (error) {
    await store.close();
    throw error;
  }
}

function openControlStore({ dataDirectory, storeUrl, storeSchema, clock, random }: FoundationOptions) {
  const schema = storeSchema === undefined ? {} : { schema: storeSchema };
  const place = storeUrl === null ? { path: join(dataDirectory, "control.sqlite") } : { url: storeUrl, ...schema };
  return openStore<ControlCommands>({ ...place, commands: new URL("./commands.ts", import.meta.url), clock, random });
}

async function pemSecret(secrets: ControlSecrets, tenant: string, name: string): Promise<string> {
  return Buffer.from(await secrets.secret(tenant, name, () => Buffer.from(generateSigner("EdDSA").pem))).toString(
    "utf8",
  );
}

/** Control's X25519 key: gateways seal decision inputs to its public half. */
async function referenceOpener(secrets: ControlSecrets, tenant: string, random: Random): Promise<RecipientOpener> {
  const raw = await secrets.secret(tenant, "log-references", () =>
    createRecipientKeyPair(random).privateKey.use((bytes) => Uint8Array.from(bytes)),
  );
  return createRecipientOpener(Secret.fromBytes(raw));
}

/** The same name at every start: log origins and the outbox lease are by node. */
function nodeId(dataDirectory: string, random: Random): string {
  const path = join(dataDirectory, "node-id");
  if (!existsSync(path))
    writePrivateFile(path, Buffer.from(`control-${Buffer.from(random.bytes(4)).toString("hex")}`), random);
  return readFileSync(path, "utf8").trim();
}
