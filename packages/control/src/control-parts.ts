// Promises the parts of a running control plane, as control.ts wires them and the admin actions use them. Trusts control.ts.
import type { LogHandle } from "@sallyport/kernel/log/port.ts";
import type { SliceCompiler } from "@sallyport/kernel/policy/compile-slice.ts";
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import type { Keyring } from "@sallyport/kernel/seal/keyring.ts";
import type { RecipientOpener } from "@sallyport/kernel/seal/recipient.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import type { Archive } from "./audit/archive/archive.ts";
import type { Exports } from "./audit/export/exports.ts";
import type { Follower } from "./audit/follow/follower.ts";
import type { ArchiveMover } from "./audit/keeping/mover.ts";
import type { Pseudonyms } from "./audit/pseudonyms.ts";
import type { Tails } from "./audit/search/tail.ts";
import type { Witnessing } from "./audit/witnessing.ts";
import type { ControlCommands } from "./commands.ts";
import type { ChannelService } from "./gateways/channel-service.ts";
import type { Hub } from "./gateways/hub.ts";
import type { Publisher } from "./gateways/publisher.ts";
import type { EnvironmentIdentity } from "./identity/environment-identity.ts";
import type { PayloadKeyring } from "./payloads/payload-keys.ts";
import type { LoadedEstate, OperatorConfig } from "./registry/config/estate.ts";
import type { Alerts } from "./watch/alerts/alerts.ts";

export interface ControlReadiness {
  readonly ready: boolean;
  /** What is missing, as sentences with the fix. */
  readonly missing: readonly string[];
}

export interface ControlParts {
  readonly tenant: string;
  readonly dataDirectory: string;
  /** Of files sent by operators: as this control serves them, where that is not as they stand (`sallyport dev`). */
  readonly sentAs?: (loaded: LoadedEstate) => LoadedEstate;
  readonly archive: Archive;
  readonly clock: Clock;
  readonly random: Random;
  readonly store: Pick<Store<ControlCommands>, "run">;
  readonly compiler: SliceCompiler;
  readonly hub: Hub;
  readonly publisher: Publisher;
  readonly service: ChannelService;
  readonly witnessing: Witnessing;
  readonly opener: RecipientOpener;
  readonly log: Pick<LogHandle, "origin" | "size" | "find">;
  /** What is derived from records. */
  readonly follower: Pick<Follower, "ask" | "standing">;
  /** Readers of records as they come. */
  readonly tails: Tails;
  /** Null where no archive store is configured. */
  readonly mover: ArchiveMover | null;
  readonly pseudonyms: Pseudonyms;
  readonly payloadKeys: PayloadKeyring;
  /** The data-encryption keys. */
  readonly keyring: Keyring;
  /** Where copies of the log go. */
  readonly exports: Exports;
  /** Who is told of findings. */
  readonly alerts: Alerts;
  /** Of this control node: its own records begin with it. */
  readonly node: string;
  /** Checkpoints of control's own log are also written elsewhere. */
  readonly checkpointCopy: boolean;
  readonly identities: ReadonlyMap<string, EnvironmentIdentity>;
  /** Where gateways reach the channel, and the pin of its key (base64). */
  readonly channel: { readonly url: string; readonly pin: string };
  readonly snapshotSigner: (group: string) => Promise<TokenSigner>;
  /** Operators of one estate, beside those in rows. */
  declareOperators(actor: string, managedBy: string, operators: readonly OperatorConfig[]): Promise<void>;
  /** Reads what is in force again and pushes whatever follows; resolves when gateways have been sent it. Throws AdminFault `unavailable` when they could not be. */
  changed(): Promise<void>;
  readiness(): Promise<ControlReadiness>;
}
