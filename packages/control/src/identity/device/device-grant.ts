// Promises that a device code is answered with tokens once, to its client, with its key, after a person allowed it; who asks too often waits longer.
// Trusts that the client was authenticated. Specified in RFC 8628 §3.4, §3.5, docs/identity/device.md.
import type { IdentityClient } from "../directory.ts";
import { redeemGrant } from "../oauth/redeem-grant.ts";
import type { StoredObject } from "../oauth/request-commands.ts";
import { digestOf } from "../oauth/sealed-objects.ts";
import { type GrantAnswer, type GrantHandler, type GrantRefusal, type GrantRequest, refuseGrant } from "../seams.ts";
import { type GrantPorts, holderOf, type Possession } from "../token-grant.ts";
import { type DeviceFacts, deviceGrantType } from "./device-authorization.ts";
import type { DevicePorts } from "./ports.ts";

export const deviceCode =
  (devices: DevicePorts) =>
  (ports: GrantPorts): GrantHandler => ({
    grantType: deviceGrantType,
    parameters: ["device_code"],
    handle: (request) => poll(request, devices, ports),
  });

/** One face for unknown, used, another client's, another key's and ended. */
const notGood = (code: string): GrantRefusal =>
  refuseGrant("invalid_grant", code, "the device code is not good any more, or not for this request");
const expired = refuseGrant("expired_token", "device-expired", "the codes have expired; begin again");

interface Asking {
  readonly request: GrantRequest;
  readonly client: IdentityClient;
  readonly possession: Possession;
  readonly digest: string;
  readonly now: number;
}

async function poll(request: GrantRequest, devices: DevicePorts, ports: GrantPorts): Promise<GrantAnswer> {
  const now = devices.oauth.clock.now();
  const code = request.parameters["device_code"];
  if (code === undefined) return refuseGrant("invalid_request", "request-malformed", "send device_code");
  const holder = holderOf(request, ports.clock.now(), ports);
  if (holder.kind === "error") return holder;
  const { client, possession } = holder;
  // Said at the first poll, not once its user has gone to the trouble of allowing it.
  if (client.isPublic && possession.binding.kind !== "dpop")
    return refuseGrant("invalid_dpop_proof", "dpop-missing", "the token must be bound: send a DPoP proof");
  const asking = { request, client, possession, digest: digestOf(code), now };
  const first = await answer(asking, devices, ports);
  // Somebody decided while this poll was being counted.
  return first ?? (await answer(asking, devices, ports)) ?? notGood("device-unknown");
}

/** null: what was read is out of date. */
async function answer(on: Asking, { oauth }: DevicePorts, ports: GrantPorts): Promise<GrantAnswer | null> {
  const { client, possession, digest, now } = on;
  const name = { ...oauth.place, digest };
  const row = await oauth.store.run("readOAuthObject", { ...name, kind: "device" });
  if (row === null || row.client !== client.id) return notGood("device-unknown");
  const { grant } = row;
  if (row.usedAt !== null) {
    if (grant === null) return refuseGrant("access_denied", "device-refused", "the user did not allow it");
    await oauth.store.run("redeemCode", { ...name, kind: "device", client: client.id, refresh: null });
    await oauth.revoked();
    return notGood("device-reused");
  }
  if (row.expiresAt <= now) return expired;
  const { jkt } = await oauth.sealed.open<DeviceFacts>(`device/${digest}`, row.sealed);
  // Before the poll is counted: whoever has the code without its key does not slow its owner down.
  if (jkt !== null && (possession.binding.kind !== "dpop" || possession.binding.jkt !== jkt))
    return notGood("device-key-mismatch");
  if (grant === null) return count(await oauth.store.run("pollDevice", { ...name, client: client.id }));
  return redeem({ ...on, grant, row }, oauth, ports);
}

function count(polled: "pending" | "slow-down" | "decided"): GrantRefusal | null {
  if (polled === "decided") return null;
  return polled === "pending"
    ? { ...refuseGrant("authorization_pending", "device-pending", "the user has not decided yet"), isWaiting: true }
    : refuseGrant("slow_down", "device-slow-down", "wait five seconds longer between polls from now on");
}

async function redeem(
  on: Asking & { readonly grant: string; readonly row: StoredObject },
  oauth: DevicePorts["oauth"],
  ports: GrantPorts,
): Promise<GrantAnswer> {
  if (on.row.grantEnded !== false) return notGood("grant-ended");
  return redeemGrant({ ...on, grantType: "device_code", kind: "device", notGood }, oauth, ports);
}
