// Promises what an operator can do, as values in and out; the routes of api.ts are this list over HTTP.
// Trusts api.ts, which has proven the operator. Specified in docs/admin-api.md.

import type { NodeReport } from "@sallyport/protocol/channel/messages.ts";
import type { BrokenObject } from "@sallyport/protocol/snapshot/objects.ts";
import type { ArchiveReport } from "../audit/archive/list-archive.ts";
import type { EdgeActions } from "../audit/edges/edge-actions.ts";
import type { ExportStanding, ExportTest } from "../audit/export/export-fold.ts";
import type { ExportReport } from "../audit/export/exports.ts";
import type { FollowerStanding } from "../audit/follow/follower-messages.ts";
import type { KeepingActions } from "../audit/keeping/keeping-actions.ts";
import type { StoreStanding } from "../audit/keeping/mover.ts";
import type { QuorumStanding } from "../audit/quorum.ts";
import type { RecordActions } from "../audit/search/record-actions.ts";
import type { Reader } from "../audit/search/tail.ts";
import type { LogFindingRow } from "../audit/witness-store.ts";
import type { ConfirmReport } from "../backup/store.ts";
import type { DecidingPolicy } from "../explain/decided-by.ts";
import type { Explanation, Question } from "../explain/explanation.ts";
import type { ApiKeyActions } from "../identity/api-keys/api-key-actions.ts";
import type { ClientActions } from "../identity/clients/client-actions.ts";
import type { TokenActions } from "../identity/tokens/token-actions.ts";
import type { TrustActions } from "../identity/trust/trust-actions.ts";
import type { IssuerKeysState } from "../identity/trust/trusted-issuers.ts";
import type { ObservedReport } from "../observe/observed-report.ts";
import type { PayloadActions } from "../payloads/payload-actions.ts";
import type { SchemaChange } from "../registry/schema-words.ts";
import type { TrustChange } from "../registry/trust-words.ts";
import type { ReplayRequest } from "../replay/replay-actions.ts";
import type { DataKeyActions } from "../secrets/data-key-actions.ts";
import type { AlertReplay, AlertTest } from "../watch/alerts/alert-fold.ts";
import type { AlertReport } from "../watch/alerts/alerts.ts";
import type { FindingActions } from "../watch/finding-actions.ts";
import type { Notice } from "./notices.ts";
import type { PeopleActions } from "./people-actions.ts";

/** Who acts: an operator's id, or the estate whose files were applied at start. */
export type Actor = `operator:${string}` | `config:${string}` | "built-in";

export interface GatewayStatus {
  readonly node: string;
  readonly environment: string;
  readonly group: string;
  readonly state: "active" | "revoked";
  readonly connected: boolean;
  /** Milliseconds since the epoch; null while away. */
  readonly connectedSince: number | null;
  /** Null until the node has acknowledged anything in this run of control. */
  readonly snapshot: { readonly epoch: number; readonly version: number } | null;
  readonly heardAt: number | null;
  /** Also from earlier runs of control. */
  readonly lastSeenAt: number;
  /** Why the node last refused a snapshot, if it did. */
  readonly refusal: string | null;
  /** What the node last said of itself in this run of control. */
  readonly report: NodeReport | null;
}

/** What one environment holds, in force. */
export interface ServedCounts {
  readonly environment: string;
  readonly approval: "none" | "operator";
  readonly systems: number;
  readonly operations: number;
  /** State -> how many. */
  readonly integrations: Readonly<Record<string, number>>;
}

export interface LogStatus {
  /** Control's own. */
  readonly origin: string;
  readonly leaves: number;
  readonly checkpointCopy: boolean;
  /** Witnesses that cosigned it in this run, outside witnesses and gateways. */
  readonly cosigners: number;
  /** How far the outside witnesses vouch for it. Absent: from a control of before. */
  readonly quorum?: QuorumStanding;
  /** Administrative records on their way into the log, and how long the oldest waits. */
  readonly waiting: number;
  readonly waitingMs: number;
  /** The newest checkpoint of every node's log that control keeps. */
  readonly kept: readonly KeptLog[];
}

export interface KeptLog {
  readonly origin: string;
  readonly node: string;
  readonly at: number;
  readonly leaves: number;
  readonly archived: ArchivedStatus;
}

/** How far a node's log is archived. */
export interface ArchivedStatus {
  /** Leaves in the archive under a checkpoint. */
  readonly leaves: number;
  /** Leaves of the kept checkpoint that are not, and since when some are (milliseconds since the epoch; null: none are). */
  readonly behind: number;
  readonly behindSince: number | null;
  /** Why the archive takes nothing more of this node: a code of docs/audit.md "The archive"; null when it does. Of this run of control. */
  readonly refused: string | null;
  /** Why control can take nothing at present: its disk, or a damaged archive, as a sentence. */
  readonly trouble: string | null;
}

export interface GroupStatus {
  readonly environment: string;
  readonly group: string;
  readonly epoch: number;
  readonly version: number;
  readonly expiresAt: number;
  readonly broken: readonly BrokenObject[];
}

export interface ControlStatus {
  readonly version: string;
  readonly ready: boolean;
  /** Control's clock, milliseconds since the epoch. */
  readonly now: number;
  readonly served: readonly ServedCounts[];
  readonly groups: readonly GroupStatus[];
  readonly gateways: readonly GatewayStatus[];
  /** Declared and not in service, because of the state an operator gave them or an approval that is missing. */
  readonly inactive: readonly Pick<IntegrationStatus, "id" | "environment" | "state" | "declaredAt">[];
  readonly log: LogStatus;
  /** What is derived from records, and how far each is. */
  readonly following: FollowerStanding;
  /** What is in the archive store; null where none is configured. */
  readonly archive: StoreStanding | null;
  /** Keys of trusted issuers outside, by environment and id. */
  readonly issuers: readonly (IssuerKeysState & { readonly environment: string })[];
  readonly notices: readonly Notice[];
  readonly warnings: readonly string[];
}

export interface ApplyReport {
  readonly created: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
  readonly findings: readonly {
    readonly severity: "error" | "warning";
    readonly file: string;
    readonly line: number;
    readonly column: number;
    readonly message: string;
    readonly fix: string;
  }[];
}

/** `trust`: outside issuers, providers of log-ins and rules of exchange that differ, in sentences. */
export interface PlanReport extends ApplyReport {
  readonly trust: readonly TrustChange[];
  readonly schemas: readonly SchemaChange[];
}

export interface IntegrationStatus {
  readonly id: string;
  readonly environment: string;
  readonly from: string;
  readonly to: string;
  readonly owner: string;
  readonly state: string;
  readonly declaredAt: string;
}

/** A crossing as operators may see it: the leaf, and the sealed decision inputs opened. */
export interface CrossingReport {
  readonly id: string;
  readonly node: string;
  readonly leaves: readonly string[];
  /** Decision inputs and facts; null when the node kept no reference. */
  readonly decision: Readonly<Record<string, unknown>> | null;
  /** The node is gone or did not answer: this is what it shipped. */
  readonly archived?: true;
  /** Where the policies that decided stand now, and what each read; absent: none of them is there. */
  readonly decidedBy?: readonly DecidingPolicy[];
}

/** Who witnesses what. */
export interface WitnessReport {
  /** Verifier key (C2SP, type 0x04) of control's own witness, which cosigns gateways' logs. */
  readonly control: string;
  /** Gateways' witnesses, which cosign control's log. */
  readonly gateways: readonly { readonly node: string; readonly key: string }[];
  /** Trees that control's witness cosigned last. */
  readonly witnessed: readonly { readonly origin: string; readonly leaves: number; readonly at: number }[];
  /** Witnesses outside that are asked, by their name in the estate, or in their key where `serve --witness` names them. Absent, as `quorum`: from a control of before. */
  readonly outside?: readonly { readonly name: string; readonly url: string; readonly key: string }[];
  /** How many of these must have cosigned one checkpoint. */
  readonly quorum?: QuorumStanding;
  /** Those that cosign control's log, in this run: leaves of the newest checkpoint of its present origin, and why the last try failed. */
  readonly cosigners: readonly { readonly name: string; readonly leaves: number; readonly fault: string | null }[];
}

export interface CheckpointReport {
  readonly origin: string;
  readonly node: string;
  /** Signed note. */
  readonly note: string;
  readonly at: number;
}

/** One key of an environment's ring. */
export interface KeyReport {
  readonly environment: string;
  readonly kid: string;
  readonly alg: string;
  readonly state: "next" | "active" | "retiring";
  /** Milliseconds since the epoch; null: it never signed. */
  readonly activatedAt: number | null;
  /** Of a retiring key: when the last token it signed has ended. */
  readonly verifiableUntil: number | null;
}

export interface AdminActions
  extends ApiKeyActions,
    DataKeyActions,
    ClientActions,
    TokenActions,
    TrustActions,
    PeopleActions,
    FindingActions,
    RecordActions,
    EdgeActions,
    KeepingActions,
    PayloadActions {
  /** What gateways let pass since then (milliseconds since the epoch) and would have denied. */
  observed(sinceMs: number): Promise<ObservedReport>;
  /** Lines of docs/policy.md "Replay", as they come. Rejects with AdminFault `too-many` while others are under way. */
  replayPolicies(request: ReplayRequest, reader: Pick<Reader, "permitted">): Promise<ReadableStream<Uint8Array>>;
  /** Whether a crossing would be allowed now. Rejects with AdminFault `bad-request` for a question about what is not there. */
  explain(question: Question): Promise<Explanation>;
  /** Where each sink stands. */
  exports(): Promise<readonly ExportReport[]>;
  /** The sink's acts reject with AdminFault `not-found` for one that is not set up, `unavailable` when it does not answer. */
  testExport(name: string): Promise<ExportTest>;
  pauseExport(name: string): Promise<ExportStanding>;
  resumeExport(name: string): Promise<ExportStanding>;
  replayExport(
    name: string,
    again: { readonly origin: string | null; readonly fromIndex: number },
  ): Promise<ExportStanding>;
  /** Where each notifier stands. */
  alerts(): Promise<readonly AlertReport[]>;
  /** Rejects with AdminFault `not-found` for one that is not set up, `unavailable` when it does not answer. */
  testAlert(name: string): Promise<AlertTest>;
  replayAlert(name: string): Promise<AlertReplay>;
  /** The newest checkpoint kept of every origin of every node. */
  checkpoints(): Promise<readonly CheckpointReport[]>;
  archive(): Promise<ArchiveReport>;
  /** What contradicts what was cosigned, with both checkpoints. */
  logFindings(): Promise<readonly LogFindingRow[]>;
  witnesses(): Promise<WitnessReport>;
  status(): Promise<ControlStatus>;
  /** `files`: path relative to the estate directory -> text. */
  applyEstate(actor: Actor, files: Readonly<Record<string, string>>): Promise<ApplyReport>;
  planEstate(files: Readonly<Record<string, string>>): Promise<PlanReport>;
  integrations(): Promise<readonly IntegrationStatus[]>;
  /** Rejects with AdminFault `not-found`, naming the nearest id, when nothing is declared or decided under the id. */
  setIntegrationState(
    actor: Actor,
    change: {
      readonly id: string;
      readonly environment: string;
      readonly to: "active" | "suspended" | "retired";
      readonly reason: string;
      /** Cut off an id before it exists; only with `suspended`. */
      readonly absent?: boolean | undefined;
    },
  ): Promise<IntegrationStatus>;
  /** Serves again what a restore put on hold, as far as its estate was applied since. */
  confirmRestore(actor: Actor, reason: string): Promise<ConfirmReport>;
  createJoinToken(
    actor: Actor,
    request: { readonly group: string; readonly lifetimeMs: number },
  ): Promise<{ readonly token: string; readonly expiresAt: number }>;
  gateways(): Promise<readonly GatewayStatus[]>;
  revokeGateway(actor: Actor, node: string, reason: string): Promise<void>;
  /** Of every environment, in ascending order of environment; those that are gone are not kept. */
  keys(): Promise<readonly KeyReport[]>;
  rotateKeys(actor: Actor, environment: string): Promise<{ readonly active: string; readonly next: string }>;
  killKey(actor: Actor, environment: string, kid: string, reason: string): Promise<void>;
  revoke(
    actor: Actor,
    request: {
      readonly environment: string;
      readonly kind: "jti" | "client" | "grant" | "session" | "subject";
      readonly value: string;
      /** A client may be one that is served no more. */
      readonly absent?: boolean | undefined;
      readonly reason: string;
    },
  ): Promise<{ readonly seq: number }>;
  /** api.ts has recorded the look-up before this is asked. Rejects with AdminFault `unreachable` when the node is away, `not-found` when nobody has it. */
  crossing(actor: Actor, id: string): Promise<CrossingReport>;
}

/** What keeps an action from being done; `code` decides the status and the CLI's exit code. */
export class AdminFault extends Error {
  readonly code:
    | "bad-request"
    | "too-large"
    | "not-found"
    | "conflict"
    | "too-many"
    | "not-permitted"
    | "unreachable"
    | "unavailable";
  readonly fix: string;
  constructor(code: AdminFault["code"], message: string, fix = "") {
    super(message);
    this.name = "AdminFault";
    this.code = code;
    this.fix = fix;
  }
}
