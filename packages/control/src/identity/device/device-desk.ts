// Promises the verification page's side: guesses are counted before a code is looked up, one person decides about one device, and what they allow is
// what the registry still grants. Trusts the pages for who the user is. Specified in RFC 8628 §3.3, §5.1, docs/identity/device.md.
import type { IdentityClient } from "../directory.ts";
import { type AuthorizationFacts, decideAuthorization } from "../oauth/decide-authorization.ts";
import type { GrantFacts } from "../oauth/grant-facts.ts";
import type { DeviceDesk, LoginResult, PendingDevice } from "../oauth/interaction.ts";
import { throttleRules } from "../people/decide-throttle.ts";
import type { DeviceFacts } from "./device-authorization.ts";
import type { DevicePorts } from "./ports.ts";
import { parseUserCode, userCodeDigest } from "./user-code.ts";

interface Waiting {
  readonly digest: string;
  readonly client: IdentityClient;
  readonly asked: DeviceFacts;
  readonly facts: AuthorizationFacts;
  readonly expiresAt: number;
}

export function createDeviceDesk(devices: DevicePorts): DeviceDesk {
  const { oauth, issuer, secret } = devices;
  return {
    pending: async (typed, by) => {
      const takes = [
        { key: `us:${by.source}`, rule: throttleRules.userCode },
        { key: `uu:${by.user}`, rule: throttleRules.userCodeOfUser },
      ];
      if ((await oauth.store.run("takeAttempt", { ...oauth.place, takes })) !== null) return "slow-down";
      const code = parseUserCode(typed);
      if (code === null) return null;
      const userCode = userCodeDigest(secret, issuer, code);
      const digest = await oauth.store.run("findDevice", { ...oauth.place, userCode });
      const waiting = digest === null ? null : await find(digest, devices);
      if (waiting === null) return null;
      await oauth.store.run("giveAttemptBack", { ...oauth.place, takes });
      return pendingOf(waiting);
    },
    asked: async (id) => {
      const waiting = await find(id, devices);
      return waiting === null ? null : pendingOf(waiting);
    },
    allow: async (id, login) => {
      const waiting = await find(id, devices);
      return waiting !== null && allow(waiting, login, devices);
    },
    refuse: (id, user) => oauth.store.run("refuseDevice", { ...oauth.place, digest: id, user }),
  };
}

/** A device nobody has decided about, as the registry sees it now. */
async function find(digest: string, { oauth, issuer, directory }: DevicePorts): Promise<Waiting | null> {
  const row = await oauth.store.run("readOAuthObject", { ...oauth.place, kind: "device", digest });
  const now = oauth.clock.now();
  if (row === null || row.usedAt !== null || row.grant !== null || row.expiresAt <= now) return null;
  const { clients, grants } = directory();
  const client = clients.get(row.client);
  if (client === undefined) return null;
  const asked = await oauth.sealed.open<DeviceFacts>(`device/${digest}`, row.sealed);
  const { resources, scope } = asked;
  const facts = decideAuthorization({ issuer, client, resources, scope: scope ?? undefined, grants, now });
  return facts.kind === "refuse" ? null : { digest, client, asked, facts, expiresAt: row.expiresAt };
}

function pendingOf({ digest, client, asked, facts, expiresAt }: Waiting): PendingDevice {
  const { acrValues, maxAgeSeconds, userCode, begunAt } = asked;
  return {
    id: digest,
    userCode,
    begunAt,
    expiresAt,
    client: client.id,
    system: client.system,
    providers: facts.providers,
    scopes: facts.scopes,
    openid: facts.openid,
    prompts: [],
    maxAgeSeconds,
    acrValues,
    loginHint: null,
    uiLocales: null,
  };
}

async function allow(
  { digest, client, facts }: Waiting,
  { subject, scopes }: LoginResult,
  { oauth }: DevicePorts,
): Promise<boolean> {
  // The page shows what is asked; a wider answer is a mistake of its own, and narrower than everything is not "everything".
  if (facts.scopes !== null && (scopes === null || scopes.some((scope) => !facts.scopes?.includes(scope))))
    throw new Error("the page allowed more than was asked");
  const grant = `grt_${Buffer.from(oauth.random.bytes(16)).toString("base64url")}`;
  const { resources, openid } = facts;
  const grantFacts: GrantFacts = { subject, resources, scopes, openid, nonce: null };
  return oauth.store.run("allowDevice", {
    ...oauth.place,
    digest,
    grant: {
      id: grant,
      client: client.id,
      subject: subject.id,
      session: subject.session ?? null,
      authenticatedAt: subject.authTime * 1000,
      expiresAt: oauth.clock.now() + client.lives.refreshMs,
      sealed: await oauth.sealed.seal(`grant/${grant}`, grantFacts),
    },
  });
}
