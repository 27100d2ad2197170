// Promises pairs of codes for devices: what is asked is judged before a code exists, the device code is nowhere but with its client, the user code nowhere
// but on its screen. Trusts that the client was authenticated. Specified in RFC 8628 §3.1, §3.2, RFC 8707, docs/identity/device.md.
import { isAcr } from "@sallyport/protocol/token/acr.ts";
import { sourcePrefix } from "../../source-places.ts";
import type { IdentityClient } from "../directory.ts";
import { decideAuthorization } from "../oauth/decide-authorization.ts";
import { digestOf, newSecretId } from "../oauth/sealed-objects.ts";
import { throttleRules } from "../people/decide-throttle.ts";
import {
  type ClientEndpoint,
  type EndpointAnswer,
  type GrantRefusal,
  type GrantRequest,
  refuseGrant,
} from "../seams.ts";
import { burnProof, checkPossession, type GrantPorts } from "../token-grant.ts";
import { pollIntervalMs } from "./device-commands.ts";
import type { DevicePorts } from "./ports.ts";
import { makeUserCode, showUserCode, userCodeDigest } from "./user-code.ts";

export const deviceGrantType = "urn:ietf:params:oauth:grant-type:device_code";
/** A pair of codes is good this long, or until somebody decides. */
export const deviceLifetimeMs = 600_000;
/** Two live codes of 34 bits that are the same are rare; four times in a row is a broken random source. */
const drawsMax = 4;
const acrValuesMax = 8;

/** Sealed with the device code. */
export interface DeviceFacts {
  readonly resources: readonly string[];
  readonly scope: string | null;
  readonly acrValues: readonly string[];
  readonly maxAgeSeconds: number | null;
  /** Thumbprint of the only DPoP key that may redeem it; null: any key of its client. */
  readonly jkt: string | null;
  /** As it is shown to whoever typed it. */
  readonly userCode: string;
  /** Milliseconds since the epoch. */
  readonly begunAt: number;
}

export const deviceAuthorization =
  (devices: DevicePorts) =>
  (ports: GrantPorts): ClientEndpoint => ({
    path: "/device_authorization",
    parameters: ["acr_values", "max_age", "dpop_jkt"],
    handle: (request) => begin(request, devices, ports),
  });

async function begin(request: GrantRequest, devices: DevicePorts, ports: GrantPorts): Promise<EndpointAnswer> {
  const now = devices.oauth.clock.now();
  const directory = ports.directory();
  const client = directory.clients.get(request.clientId);
  if (client === undefined) return refuseGrant("invalid_client", "client-unknown", "client authentication failed");
  if (!client.grantTypes.includes(deviceGrantType))
    return refuseGrant(
      "unauthorized_client",
      "grant-type-not-allowed",
      "this client has no device_code among its grants",
    );
  if (!devices.servesPeople())
    return refuseGrant("unauthorized_client", "people-not-served", "nobody can sign in in this environment");
  const { issuer, resources, scope } = request;
  const verdict = decideAuthorization({ issuer, client, resources, scope, grants: directory.grants, now });
  if (verdict.kind === "refuse") return refuseGrant(verdict.error, verdict.code, verdict.description);
  const demand = readDemand(request.parameters);
  if ("kind" in demand) return demand;
  // Before the id of a proof is kept, which anybody can make.
  if (!(await mayBegin(request, client, devices)))
    return refuseGrant("temporarily_unavailable", "device-throttled", "too many devices begin here; try again");
  const key = await readKey(request, client, ports);
  if (typeof key === "object" && key !== null) return key;
  return keep({ request, client, facts: { ...demand, jkt: key }, now }, devices);
}

async function keep(
  begun: {
    readonly request: GrantRequest;
    readonly client: IdentityClient;
    readonly facts: Pick<DeviceFacts, "acrValues" | "maxAgeSeconds" | "jkt">;
    readonly now: number;
  },
  { oauth, issuer, secret }: DevicePorts,
): Promise<EndpointAnswer> {
  const { request, client, now } = begun;
  for (let draw = 0; draw < drawsMax; draw += 1) {
    const deviceCode = newSecretId(oauth.random);
    const userCode = makeUserCode(oauth.random);
    const digest = digestOf(deviceCode);
    const shown = showUserCode(userCode);
    const { resources, scope = null } = request;
    const facts: DeviceFacts = { ...begun.facts, resources, scope, userCode: shown, begunAt: now };
    const kept = await oauth.store.run("keepDevice", {
      ...oauth.place,
      digest,
      userCode: userCodeDigest(secret, issuer, userCode),
      client: client.id,
      expiresAt: now + deviceLifetimeMs,
      sealed: await oauth.sealed.seal(`device/${digest}`, facts),
    });
    if (!kept) continue;
    const page = `${issuer}/device`;
    const body = {
      device_code: deviceCode,
      user_code: shown,
      verification_uri: page,
      verification_uri_complete: `${page}?user_code=${shown}`,
      expires_in: deviceLifetimeMs / 1_000,
      interval: pollIntervalMs / 1_000,
    };
    return { kind: "answer", status: 200, body };
  }
  throw new Error("no user code is free");
}

/** `acr_values` and `max_age`, as OpenID Connect Core §3.1.2.1 spells them. */
function readDemand(
  parameters: GrantRequest["parameters"],
): Pick<DeviceFacts, "acrValues" | "maxAgeSeconds"> | GrantRefusal {
  const { acr_values: acr = "", max_age: maxAge } = parameters;
  const acrValues = acr.split(" ").filter((value) => value !== "");
  if (acrValues.length > acrValuesMax || (acrValues.length > 0 && !acrValues.some(isAcr)))
    return refuseGrant("invalid_request", "request-malformed", "acr_values names no level that is known here");
  if (maxAge !== undefined && !/^\d{1,9}$/.test(maxAge))
    return refuseGrant("invalid_request", "request-malformed", "max_age is a number of seconds");
  // Levels that nobody here can reach are as good as not named.
  return { acrValues: acrValues.filter(isAcr), maxAgeSeconds: maxAge === undefined ? null : Number(maxAge) };
}

/** The key the device code is for: that of the proof, or the one that is named; null: none. */
async function readKey(
  request: GrantRequest,
  client: IdentityClient,
  ports: GrantPorts,
): Promise<string | null | GrantRefusal> {
  const named = request.parameters["dpop_jkt"];
  if (named !== undefined && !/^[A-Za-z0-9_-]{43}$/.test(named))
    return refuseGrant("invalid_request", "request-malformed", "dpop_jkt is no thumbprint (RFC 7638)");
  if (request.proofs.length === 0) return named ?? null;
  const possession = checkPossession(request, client.certificates, ports.clock.now(), ports);
  if (possession.kind === "error") return possession;
  if (possession.binding.kind !== "dpop") return named ?? null;
  const { jkt } = possession.binding;
  if (named !== undefined && named !== jkt)
    return refuseGrant("invalid_request", "dpop-key-mismatch", "dpop_jkt is not the key of the proof");
  return (await burnProof(request.issuer, possession, ports)) ?? jkt;
}

/** Anybody can name a public client: what strangers begin is counted by their network. */
async function mayBegin(request: GrantRequest, client: IdentityClient, { oauth }: DevicePorts): Promise<boolean> {
  if (!client.isPublic) return true;
  const takes = [{ key: `db:${sourcePrefix(request.address)}`, rule: throttleRules.deviceBegin }];
  return (await oauth.store.run("takeAttempt", { ...oauth.place, takes })) === null;
}
