// Promises the acts of an operator over the parts of control: each one transaction with its record, then pushed to whom it concerns.
// Trusts api.ts, which has proven the operator. Specified in docs/admin-api.md.

import { hash, randomBytes } from "node:crypto";
import type { RevocationKind } from "@sallyport/protocol/channel/messages.ts";
import { printJoinToken } from "@sallyport/protocol/join/join-token.ts";
import { listArchive } from "../audit/archive/list-archive.ts";
import { edgeActions } from "../audit/edges/edge-actions.ts";
import { createKeepingActions } from "../audit/keeping/keeping-actions.ts";
import { recordActions } from "../audit/search/record-actions.ts";
import type { ControlParts } from "../control-parts.ts";
import { createApiKeyActions } from "../identity/api-keys/api-key-actions.ts";
import { createClientActions } from "../identity/clients/client-actions.ts";
import { anyTokenEndMs } from "../identity/revoke.ts";
import { createTokenActions } from "../identity/tokens/token-actions.ts";
import { createTrustActions } from "../identity/trust/trust-actions.ts";
import { readObserved } from "../observe/observed-report.ts";
import { createPayloadActions } from "../payloads/payload-actions.ts";
import type { LoadedEstate } from "../registry/config/estate.ts";
import { memoryEstateIo } from "../registry/config/estate-io.ts";
import { loadEstateFrom } from "../registry/config/load.ts";
import { suggest } from "../registry/config/nearest.ts";
import { applyEstate, planEstate } from "../registry/estate-state.ts";
import { createReplay } from "../replay/replay-actions.ts";
import { createDataKeyActions } from "../secrets/data-key-actions.ts";
import { checkPolicies } from "../snapshot/compile-policies.ts";
import { createFindingActions } from "../watch/finding-actions.ts";
import {
  type Actor,
  type AdminActions,
  AdminFault,
  type ApplyReport,
  type IntegrationStatus,
  type WitnessReport,
} from "./actions.ts";
import { decideRevocable } from "./decide-revocable.ts";
import { explainInForce } from "./explain-in-force.ts";
import { peopleActions } from "./people-actions.ts";
import { explainedCrossing } from "./read-crossing.ts";
import { controlStatus, gatewayStatus } from "./status.ts";

export function createActions(parts: ControlParts): AdminActions {
  return {
    ...createApiKeyActions(parts),
    ...createDataKeyActions(parts),
    ...createClientActions(parts),
    ...createTokenActions(parts),
    ...createTrustActions(parts),
    ...createKeepingActions(parts),
    ...createPayloadActions(parts),
    ...createFindingActions(parts),
    status: async () => controlStatus(parts, await integrations(parts)),
    applyEstate: (actor, files) => applyFiles(parts, actor, files),
    planEstate: async (files) => {
      const loaded = loadFiles(parts, files);
      const findings = findingsOf(parts, loaded);
      return { ...(await planEstate(parts.store, loaded.estate)), findings };
    },
    integrations: () => integrations(parts),
    setIntegrationState: (actor, change) => setIntegrationState(parts, actor, change),
    confirmRestore: async (actor, reason) => {
      const report = await parts.store.run("confirmRestore", { tenant: parts.tenant, actor, reason });
      await parts.changed();
      return report;
    },
    createJoinToken: (actor, request) => createJoinToken(parts, actor, request),
    gateways: () => gatewayStatus(parts),
    revokeGateway: async (actor, node, reason) => {
      const { tenant, store, hub } = parts;
      if (!(await store.run("revokeNode", { tenant, node, actor, reason })))
        throw new AdminFault("not-found", `there is no active gateway ${node}`, "sallyport gateway list shows them");
      for (const identity of parts.identities.values()) identity.hopKeys.set(node, null);
      hub.evict(node, "revoked by an operator");
      parts.service.refusals.delete(node);
      await parts.changed();
    },
    ...keyActions(parts),
    ...peopleActions(parts),
    ...recordActions(parts),
    replayPolicies: createReplay(parts),
    ...edgeActions(parts),
    exports: () => parts.exports.list(),
    testExport: (name) => parts.exports.test(name),
    pauseExport: (name) => parts.exports.pause(name),
    resumeExport: (name) => parts.exports.resume(name),
    replayExport: (name, again) => parts.exports.replay(name, again),
    alerts: () => parts.alerts.list(),
    testAlert: (name) => parts.alerts.test(name),
    replayAlert: (name) => parts.alerts.replay(name),
    checkpoints: () => parts.store.run("listCheckpoints", null),
    archive: () => listArchive(parts.dataDirectory),
    logFindings: () => parts.store.run("listLogFindings", null),
    witnesses: () => witnessReport(parts),
    crossing: (_actor, id) => explainedCrossing(parts, id),
    observed: (sinceMs) => readObserved(parts, sinceMs),
    explain: (question) => explainInForce(parts, question),
  };
}

async function witnessReport({ store, witnessing, log }: ControlParts): Promise<WitnessReport> {
  const trees = await store.run("listWitnessed", null);
  return {
    control: witnessing.verifierKey,
    gateways: await store.run("listWitnessKeys", null),
    witnessed: trees.map(({ origin, size, at }) => ({ origin, leaves: size, at })),
    outside: witnessing.outside().map(({ url, key }) => {
      const named = witnessing.configured().outside.find((one) => one.key === key);
      return { name: named?.id ?? key.slice(0, key.indexOf("+")), url, key };
    }),
    quorum: witnessing.quorum(),
    cosigners: witnessing
      .standings()
      .map(({ name, cosigned, fault }) => ({ name, leaves: cosigned.get(log.origin) ?? 0, fault })),
  };
}

function keyActions(parts: ControlParts): Pick<AdminActions, "keys" | "rotateKeys" | "killKey" | "revoke"> {
  return {
    keys: async () => {
      const { store, tenant } = parts;
      const rings = [...parts.identities.keys()].sort().map(async (environment) => {
        const { keys } = await store.run("readKeyRing", { tenant, environment });
        return keys.flatMap(({ kid, alg, state, activatedAt, verifiableUntil }) =>
          state === "gone" ? [] : [{ environment, kid, alg, state, activatedAt, verifiableUntil }],
        );
      });
      return (await Promise.all(rings)).flat();
    },
    rotateKeys: async (actor, environment) => {
      const { ring } = identityOf(parts, environment);
      const outcome = await ring.rotate(actor);
      if (outcome.kind === "refused") {
        throw new AdminFault(
          "unavailable",
          `the next key is not known to every live gateway yet (it waits for sequence ${outcome.waitsForSeq})`,
          "try again in a second; sallyport gateway list shows who is away",
        );
      }
      await parts.changed();
      const find = (state: string) => ring.view().keys.find((key) => key.state === state)?.kid ?? "";
      return { active: find("active"), next: find("next") };
    },
    killKey: async (actor, environment, kid, reason) => {
      const outcome = await identityOf(parts, environment).ring.kill(kid, actor, reason);
      if (outcome.kind === "refused")
        throw new AdminFault(
          "not-found",
          `there is no key ${kid} in the ring of ${environment}`,
          "sallyport key list shows them",
        );
      await parts.changed();
    },
    revoke: async (actor, { environment, kind, value, absent = false, reason }) => {
      const identity = identityOf(parts, environment);
      const verdict = decideRevocable({ kind, value, clients: identity.clients().keys(), absent });
      if (verdict.kind !== "revocable")
        throw new AdminFault(verdict.kind === "unknown" ? "not-found" : "bad-request", verdict.message, verdict.fix);
      const now = parts.clock.now();
      const order = { tenant: parts.tenant, environment: identity.environment, kind, value };
      const { seq } = await parts.store.run("revoke", {
        ...order,
        notBefore: now,
        // Gateways may believe a token of an issuer outside by the same id, subject or client.
        until: now + anyTokenEndMs,
        actor,
        reason,
      });
      await endLogins(parts, order, actor);
      await parts.changed();
      return { seq };
    },
  };
}

/** A log-in whose session or user was revoked opens nothing from then on; here it is ended as well, so that its clients are told. */
async function endLogins(
  { store }: ControlParts,
  { tenant, environment, kind, value }: { tenant: string; environment: string; kind: RevocationKind; value: string },
  actor: Actor,
): Promise<void> {
  const end = { tenant, environment, actor, why: "revoked" };
  if (kind === "session") await store.run("endSession", { ...end, sid: value });
  if (kind === "subject") await store.run("endUserSessions", { ...end, user: value });
}

function identityOf(parts: ControlParts, environment: string) {
  const identity = parts.identities.get(environment);
  if (identity !== undefined) return identity;
  throw new AdminFault(
    "not-found",
    `there is no environment ${environment}`,
    `known: ${[...parts.identities.keys()].join(", ")}`,
  );
}

function loadFiles(parts: ControlParts, files: Readonly<Record<string, string>>): LoadedEstate {
  const loaded = loadEstateFrom(memoryEstateIo(files, () => parts.clock.now()));
  return parts.sentAs === undefined ? loaded : parts.sentAs(loaded);
}

/** Everything found: the loader's and, where the estate compiles, the policies'. */
export function findingsOf(parts: ControlParts, loaded: LoadedEstate): ApplyReport["findings"] {
  const all = [...loaded.findings, ...checkPolicies(loaded.estate, parts.compiler)];
  return all.map(({ severity, file, line, column, message, fix }) => ({ severity, file, line, column, message, fix }));
}

async function applyFiles(
  parts: ControlParts,
  actor: Actor,
  files: Readonly<Record<string, string>>,
): Promise<ApplyReport> {
  return applyLoaded(parts, actor, loadFiles(parts, files));
}

/** Applies a loaded estate; also what `serve --config` calls at start. Throws AdminFault `conflict` naming both managers. */
export async function applyLoaded(parts: ControlParts, actor: Actor, loaded: LoadedEstate): Promise<ApplyReport> {
  const outcome = await applyEstate(parts.store, { ...loaded.estate, tenant: parts.tenant }, actor);
  if (outcome.kind === "conflict") {
    const [first] = outcome.conflicts;
    throw new AdminFault(
      "conflict",
      `${first?.environment}/${first?.kind}/${first?.id} is managed by ${first?.managedBy}, not by ${first?.wantedBy}${outcome.conflicts.length > 1 ? ` (and ${outcome.conflicts.length - 1} more)` : ""}`,
      "remove it from one of the two estates",
    );
  }
  for (const environment of loaded.estate.environments) {
    const regions = new Set(
      environment.listeners.filter(({ serves }) => serves === "gateway").map(({ region }) => region ?? "default"),
    );
    for (const region of regions.size === 0 ? ["default"] : regions) {
      await parts.store.run("ensureGroup", {
        tenant: parts.tenant,
        id: `${environment.name}-${region}`,
        environment: environment.name,
        region,
        actor,
      });
    }
  }
  await parts.declareOperators(actor, loaded.estate.managedBy, loaded.estate.operators);
  await parts.changed();
  const { created, changed, removed } = outcome;
  return { created, changed, removed, findings: findingsOf(parts, loaded) };
}

async function integrations(parts: ControlParts): Promise<readonly IntegrationStatus[]> {
  const objects = await parts.store.run("listObjects", {
    tenant: parts.tenant,
    environment: null,
    kind: "integration",
  });
  return objects.map(({ environment, id, json, state }) => {
    // Written by estate-rows from this shape.
    const config = JSON.parse(json) as {
      from: string;
      to: string;
      owner: string;
      declaredAt: { file: string; line: number };
    };
    return {
      id,
      environment,
      from: config.from,
      to: config.to,
      owner: config.owner,
      state,
      declaredAt: `${config.declaredAt.file}:${config.declaredAt.line}`,
    };
  });
}

const stateCommand = {
  active: "activateIntegration",
  suspended: "suspendIntegration",
  retired: "retireIntegration",
} as const;

async function setIntegrationState(
  parts: ControlParts,
  actor: Actor,
  { id, environment, to, reason, absent = false }: Parameters<AdminActions["setIntegrationState"]>[1],
): Promise<IntegrationStatus> {
  const { tenant, store } = parts;
  const outcome = await store.run(stateCommand[to], { tenant, environment, id, actor, reason, absent });
  if (outcome.kind === "not-found") throw await unknownIntegration(parts, { id, environment, to });
  if (outcome.kind === "refused") throw new AdminFault("conflict", outcome.why);
  await parts.changed();
  const found = (await integrations(parts)).find((one) => one.id === id && one.environment === environment);
  return found ?? { id, environment, from: "", to: "", owner: "", state: outcome.state, declaredAt: "" };
}

/** The refusal names what was probably meant: after a slip in an incident, every second counts. */
async function unknownIntegration(
  parts: ControlParts,
  { id, environment, to }: { readonly id: string; readonly environment: string; readonly to: string },
): Promise<AdminFault> {
  const all = await integrations(parts);
  const here = all.filter((one) => one.environment === environment).map((one) => one.id);
  const elsewhere = all.filter((one) => one.id === id).map((one) => one.environment);
  const absent = to === "suspended" ? "; to cut off an id before it exists, say --absent" : "";
  const meant =
    elsewhere.length > 0 ? `it is in ${elsewhere.join(", ")}: name it with --environment` : suggest(id, here);
  return new AdminFault("not-found", `there is no integration ${id} in ${environment}`, `${meant}${absent}`);
}

async function createJoinToken(
  parts: ControlParts,
  actor: Actor,
  request: { readonly group: string; readonly lifetimeMs: number },
): Promise<{ readonly token: string; readonly expiresAt: number }> {
  const { tenant, store, channel, snapshotSigner } = parts;
  const secret = randomBytes(32).toString("base64url");
  const made = await store.run("createJoinToken", {
    tenant,
    group: request.group,
    secretHash: hash("sha256", secret, "hex"),
    lifetimeMs: request.lifetimeMs,
    actor,
  });
  if (made === null) {
    const groups = await store.run("listGroups", { tenant });
    throw new AdminFault(
      "not-found",
      `there is no group ${request.group}`,
      `known: ${groups.map(({ id }) => id).join(", ") || "none; apply an estate first"}`,
    );
  }
  const signer = await snapshotSigner(made.group.id);
  const x = signer.jwk.x;
  const { environment, region, id: group } = made.group;
  const token = printJoinToken({
    v: 1,
    url: channel.url,
    pin: channel.pin,
    tenant,
    environment,
    region,
    group,
    snapshotKey: { kid: signer.kid, x },
    secret,
    expiresAt: made.expiresAt,
  });
  return { token, expiresAt: made.expiresAt };
}
