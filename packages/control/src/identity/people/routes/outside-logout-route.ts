// Promises that a provider outside is heard when a log-in there has ended, that what it says counts once, and that nobody else ends a session by it.
// Trusts provider-client.ts for the token. OpenID Connect Back-Channel Logout 1.0 §2.5 to §2.8, docs/identity/outside-login.md "When it ends there".
import { createHash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { OutsideLogout } from "@sallyport/protocol/token/outside-logout.ts";
import { sourcePrefix } from "../../../source-places.ts";
import { sendJson } from "../../json-answer.ts";
import type { IssuerRoute } from "../../seams.ts";
import { addressOf } from "../../source-address.ts";
import { throttleRules } from "../decide-throttle.ts";
import { linkDigest } from "../outside/link-commands.ts";
import { endedPerRunMax, outsideSessionDigest } from "../outside/outside-sessions.ts";
import { type ProviderClient, ProviderFault } from "../outside/provider-client.ts";
import { readForm } from "../pages/browser-request.ts";
import type { PeopleParts } from "./visit.ts";

/** Of one logout token: each round ends up to 200 sessions. */
const roundsMax = 50;

export function outsideLogoutRoute(parts: PeopleParts): IssuerRoute {
  return {
    method: "POST",
    path: "/login/ended/",
    query: false,
    serve: async (req, res, id) => {
      const address = addressOf(req);
      const { tenant, environment, store } = parts;
      const takes = [{ key: `po:${sourcePrefix(address)}`, rule: throttleRules.source }];
      if ((await store.run("takeAttempt", { tenant, environment, takes })) !== null)
        return refuse(parts, { res, address, code: "login-throttled", status: 429 });
      const code = await hear(parts, req, id);
      if (code !== null) return refuse(parts, { res, address, code, status: 400 });
      await store.run("giveAttemptBack", { tenant, environment, takes });
      sendJson(res, 200, {});
    },
  };
}

async function refuse(
  parts: PeopleParts,
  no: { readonly res: ServerResponse; readonly address: string; readonly code: string; readonly status: number },
): Promise<void> {
  const { res, address, code, status } = no;
  await parts.record.refused({ client: null, code, address });
  sendJson(res, status, { error: "invalid_request" }, { Connection: "close" });
}

/** null: what it said was done. */
async function hear(parts: PeopleParts, req: IncomingMessage, id: string): Promise<string | null> {
  const client = parts.config() === null ? null : parts.outside.find(id);
  if (client === null) return "provider-unknown";
  const form = await readForm(req);
  const text = typeof form === "number" ? undefined : form.get("logout_token");
  if (text === undefined) return "form-malformed";
  try {
    return await end(parts, client, await client.logout(text));
  } catch (fault) {
    if (fault instanceof ProviderFault) return fault.code;
    throw fault;
  }
}

async function end(parts: PeopleParts, { config }: ProviderClient, said: OutsideLogout): Promise<string | null> {
  const { tenant, environment, store } = parts;
  const { id: provider, issuer } = config;
  // A token by subject that was kept would end a later log-in too.
  const digest = createHash("sha256").update(`sallyport-outside-logout/v1\n${issuer}\n${said.jti}`).digest("base64url");
  const until = (said.exp + 120) * 1_000;
  if (!(await store.run("spendOnce", { tenant, environment, digest, until }))) return "provider-replayed";
  const which = {
    link: said.subject === null ? null : linkDigest(issuer, said.subject),
    session: said.session === null ? null : outsideSessionDigest(issuer, said.session),
  };
  const order = { tenant, environment, provider, issuer, ...which };
  for (let round = 0; round < roundsMax; round += 1)
    if ((await store.run("endSessionsFrom", order)) < endedPerRunMax) break;
  await parts.revoked();
  return null;
}
