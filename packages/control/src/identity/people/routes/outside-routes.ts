// Promises the way through a provider outside and back: begun by a form of ours, in this browser, for this provider, and come back from once. Who somebody is
// here follows from the issuer and the subject alone. Trusts provider-client.ts for the answer. docs/identity/outside-login.md, RFC 9207, RFC 9700 §4.4.
import { createCipheriv, createHash } from "node:crypto";
import { sendJson } from "../../json-answer.ts";
import type { IssuerRoute } from "../../seams.ts";
import { type ThrottleTake, throttleRules } from "../decide-throttle.ts";
import { digestOf, makeSecret, makeUserId } from "../one-time-secrets.ts";
import { linkDigest } from "../outside/link-commands.ts";
import { outsideSessionDigest } from "../outside/outside-sessions.ts";
import { type OutsideIdentity, type ProviderClient, ProviderFault, type Secrets } from "../outside/provider-client.ts";
import { cookieOf, setCookie } from "../pages/browser-request.ts";
import { messagePage, sendPage, sendRedirect } from "../pages/page.ts";
import { proveSession } from "../sessions.ts";
import { base32 } from "../totp.ts";
import { again, changing, endOthers, type Owner, ownerOf, placeOf, showAccount } from "./account-routes.ts";
import { holderOf, linkOver, refuseLink } from "./enrol-routes.ts";
import { continueFlow, pendingOf } from "./flow-routes.ts";
import { flowOf, getRoute, type PeopleParts, type Posted, postRoute, type Visit } from "./visit.ts";

const wayLifetimeMs = 600_000;
const backPath = "/login/back/";
const opaqueNameBytes = 15;

/** A log-in under way elsewhere; sealed into `state`, bound to the cookie whose secret nonce and verifier are made of. */
interface Way {
  readonly provider: string;
  readonly flow: string | null;
  /** Not a log-in but a connection for the user of this session; null: a log-in. */
  readonly connects: string | null;
  /** Digest of the enrolment link whose user is to be connected; null: none was held. */
  readonly enrols: string | null;
  /** When it began, where they had to prove there who they are; null: any log-in there is good. */
  readonly startedAt: number | null;
}

interface Begun extends Pick<Way, "flow" | "connects" | "enrols"> {
  readonly id: string;
  readonly again: boolean;
}

const plainWay = { flow: null, connects: null, enrols: null } as const;

export function outsideRoutes(parts: PeopleParts): readonly IssuerRoute[] {
  return [
    postRoute(parts, "/login/outside/", async (visit, id) => {
      const flow = flowOf(visit.form);
      const pending = await pendingOf(parts, visit, flow);
      // Who is asked for something newer than what they have must not come back with what they had.
      const isNew =
        visit.session !== null ||
        (pending !== null &&
          (pending.maxAgeSeconds !== null ||
            pending.prompts.some((prompt) => prompt === "login" || prompt === "select_account")));
      await begin(parts, visit, { ...plainWay, id, flow, again: isNew });
    }),
    postRoute(parts, "/enrol/outside/", async (visit, id) => {
      const held = await holderOf(parts, visit.form);
      if (held === null) return refuseLink(parts, visit);
      // What is connected for good is proven now: a browser may be signed in there as somebody else.
      await begin(parts, visit, { ...plainWay, id, enrols: digestOf("enrolment", held.link), again: true });
    }),
    changing(parts, "/account/connect", (_parts, visit, { session }) =>
      begin(parts, visit, { ...plainWay, id: visit.form.get("provider") ?? "", connects: session.sid, again: true }),
    ),
    changing(parts, "/account/disconnect", disconnect),
    getRoute(parts, backPath, (visit, id) => comeBack(parts, visit, id)),
    getRoute(parts, "/client-jwks", async ({ res }) => {
      const kept = { "Content-Type": "application/jwk-set+json", "Cache-Control": "public, max-age=60" };
      sendJson(res, 200, await parts.outside.jwks(), kept);
    }),
  ];
}

const cookieName = ({ tenant, environment }: PeopleParts) => `__Host-sallyport.${tenant}.${environment}.outside`;

/** One redirect URI for each provider: an answer that was meant for another never gets here (RFC 9700 §4.4.2.1). */
const redirectUri = ({ issuer }: PeopleParts, id: string) => `${issuer}${backPath}${id}`;

const derived = (secret: string, what: string) =>
  createHash("sha256").update(`sallyport-outside/v1\n${what}\n${secret}`).digest("base64url");

function secretsOf(secret: string, state: string): Secrets {
  return { state, nonce: derived(secret, "nonce"), verifier: derived(secret, "verifier") };
}

/**
 * On and off. The provider, its logs and the browser's history see `state`, and whoever knows the id of an authorization request can answer it. The key is of
 * this way alone, so it hides one text; that nothing was changed is what the seal around it says.
 */
function veil(secret: string, bytes: Uint8Array): Buffer {
  const cipher = createCipheriv("aes-256-ctr", Buffer.from(derived(secret, "way"), "base64url"), Buffer.alloc(16));
  return Buffer.concat([cipher.update(bytes), cipher.final()]);
}

const bindingOf = (secret: string) => ({ purpose: "outside", browser: digestOf("browser", secret) }) as const;

async function begin(parts: PeopleParts, visit: Posted, { id, again, flow, connects, enrols }: Begun): Promise<void> {
  const client = parts.outside.find(id);
  if (client === null) return notPossible(parts, visit, "provider-unknown");
  const secret = makeSecret(parts.random);
  const way: Way = { provider: id, flow, connects, enrols, startedAt: again ? parts.clock.now() : null };
  const hidden = veil(secret, Buffer.from(JSON.stringify(way))).toString("base64url");
  const state = parts.values.seal(bindingOf(secret), hidden, wayLifetimeMs);
  try {
    const to = { ...secretsOf(secret, state), redirectUri: redirectUri(parts, id), again };
    const location = await client.begin(to);
    sendRedirect(visit.res, location, [
      ...visit.request.cookies,
      setCookie(cookieName(parts), secret, wayLifetimeMs / 1_000),
    ]);
  } catch (fault) {
    await notPossible(parts, visit, codeOf(fault));
  }
}

/** A failure of our own (store, log) is no word about the provider. */
function codeOf(fault: unknown): string {
  if (fault instanceof ProviderFault) return fault.code;
  throw fault;
}

async function notPossible(parts: PeopleParts, { res, request }: Visit, code: string): Promise<void> {
  await parts.record.refused({ client: null, code, address: request.address });
  const cookies = [...request.cookies, setCookie(cookieName(parts), "", 0)];
  sendPage(res, { ...messagePage("That did not work", texts[code] ?? texts["other"] ?? "", 400), cookies });
}

const texts: Readonly<Record<string, string>> = {
  "provider-unknown": "Nobody signs in that way here.",
  "provider-unreachable": "The other service does not answer. Try again in a moment, or sign in another way.",
  "provider-stale": "The other service did not ask who you are. Sign out there and try again.",
  "provider-state": "This was begun in another browser, was finished already, or took too long. Start again.",
  "provider-unlinked":
    "You are not connected with an account here. Sign in the way you did before, and connect it on your account page; or ask who runs this.",
  "provider-taken":
    "That account cannot be connected by this link: it is somebody's here already, or the link's user has another one. Sign out there, open your link again and use another account; or sign in with the one that is connected.",
  "provider-session": "You were not signed in here any more. Sign in and try again.",
  "login-throttled": "Too many attempts. Try again in a minute.",
  other: "The other service did not sign you in. Start again, or sign in another way.",
};

async function comeBack(parts: PeopleParts, visit: Visit, id: string): Promise<void> {
  const { tenant, environment, store, values, outside } = parts;
  const { req, query, request } = visit;
  const client = outside.find(id);
  const secret = cookieOf(req, cookieName(parts));
  const state = query.get("state") ?? "";
  const opened = secret === null ? null : values.open(bindingOf(secret), state);
  if (client === null || secret === null || opened === null) return notPossible(parts, visit, "provider-state");
  // as: sealed above from this shape
  const way = JSON.parse(veil(secret, Buffer.from(opened.payload as string, "base64url")).toString()) as Way;
  if (way.provider !== id) return notPossible(parts, visit, "provider-state");
  const takes: readonly ThrottleTake[] = [{ key: `s:${request.source}`, rule: throttleRules.source }];
  if ((await store.run("takeAttempt", { tenant, environment, takes })) !== null)
    return notPossible(parts, visit, "login-throttled");
  if (!(await store.run("spendOnce", { tenant, environment, digest: opened.id, until: opened.until })))
    return notPossible(parts, visit, "provider-state");
  let who: OutsideIdentity;
  try {
    const answer = new URL(redirectUri(parts, id));
    answer.search = new URLSearchParams([...query]).toString();
    who = await client.finish(answer, { ...secretsOf(secret, state), startedAt: way.startedAt });
  } catch (fault) {
    return notPossible(parts, visit, codeOf(fault));
  }
  await store.run("giveAttemptBack", { tenant, environment, takes });
  if (way.enrols !== null) await enrol(parts, visit, { client, who, link: way.enrols });
  else if (way.connects === null) await signIn(parts, visit, { client, who, flow: way.flow });
  else await connect(parts, visit, { client, who, sid: way.connects });
}

/** The user of (issuer, subject). Claims that name a person (e-mail, name) are not read: whoever can choose them there could choose to be anybody here. */
async function userOf(
  parts: PeopleParts,
  { config }: ProviderClient,
  { subject }: OutsideIdentity,
): Promise<string | null> {
  const { tenant, environment, store, random } = parts;
  const digest = linkDigest(config.issuer, subject);
  const known = await store.run("readLink", { tenant, environment, digest });
  if (known !== null || !config.jit) return known;
  const user = makeUserId(random);
  const name = `${config.id}-${base32(random.bytes(opaqueNameBytes)).toLowerCase()}`;
  const added = await store.run("addLinkedUser", { tenant, environment, user, name, digest, provider: config.id });
  // Of two first log-ins at once one made the user.
  return added ? user : store.run("readLink", { tenant, environment, digest });
}

async function signIn(
  parts: PeopleParts,
  visit: Visit,
  from: { readonly client: ProviderClient; readonly who: OutsideIdentity; readonly flow: string | null },
): Promise<void> {
  const { client, who, flow } = from;
  const user = await userOf(parts, client, who);
  if (user === null) return notPossible(parts, visit, "provider-unlinked");
  await enter(parts, visit, { client, who, user, flow });
}

/** The session of a user who proved themselves outside. */
async function enter(
  parts: PeopleParts,
  visit: Visit,
  from: {
    readonly client: ProviderClient;
    readonly who: OutsideIdentity;
    readonly user: string;
    readonly flow: string | null;
  },
): Promise<void> {
  const { client, who, user, flow } = from;
  const authentication = { acr: client.config.acr, amr: ["fed"] };
  const { issuer } = client.config;
  const outside = {
    issuer,
    link: linkDigest(issuer, who.subject),
    session: who.session === null ? null : outsideSessionDigest(issuer, who.session),
  };
  const started = await proveSession(parts, visit.request, { user, authentication, authTime: who.authTime, outside });
  if (started === null) {
    const known = await parts.store.run("readUser", { tenant: parts.tenant, environment: parts.environment, user });
    // All of an active user's was revoked since they signed in there: they have to do it again.
    return notPossible(parts, visit, known?.state === "active" ? "provider-stale" : "login-disabled");
  }
  const cookies = [...started.request.cookies, setCookie(cookieName(parts), "", 0)];
  await continueFlow(parts, { ...visit, ...started, request: { ...started.request, cookies } }, flow);
}

/** The first way in of who holds a link: the link and the sign-in outside came from this browser, and the store uses the one up for the other. */
async function enrol(
  parts: PeopleParts,
  visit: Visit,
  { client, who, link }: { readonly client: ProviderClient; readonly who: OutsideIdentity; readonly link: string },
): Promise<void> {
  const { tenant, environment, store } = parts;
  const { issuer, id: provider } = client.config;
  const digest = linkDigest(issuer, who.subject);
  const linked = await store.run("linkByEnrolment", { tenant, environment, digest, provider, link });
  if (linked.kind === "no-right") {
    await parts.record.refused({ client: null, code: "enrolment-link", address: visit.request.address });
    return sendPage(visit.res, {
      ...linkOver,
      cookies: [...visit.request.cookies, setCookie(cookieName(parts), "", 0)],
    });
  }
  if (linked.kind === "taken") return notPossible(parts, visit, "provider-taken");
  await enter(parts, visit, { client, who, user: linked.user, flow: null });
}

/** The session that asked is still the one this browser is in: nobody is connected with somebody else's account. */
async function connect(
  parts: PeopleParts,
  visit: Visit,
  { client, who, sid }: { readonly client: ProviderClient; readonly who: OutsideIdentity; readonly sid: string },
): Promise<void> {
  const owner = await ownerOf(parts, visit);
  if (owner === null || owner.session.sid !== sid) return notPossible(parts, visit, "provider-session");
  const { issuer, id: provider, name } = client.config;
  const digest = linkDigest(issuer, who.subject);
  const actor = `user:${owner.user.id}`;
  const linked = await parts.store.run("linkUser", { ...placeOf(parts, owner), digest, provider, actor });
  const error =
    linked === "has-one"
      ? `You are connected with another account of ${name}. Disconnect that one first.`
      : `This account of ${name} is connected already.`;
  if (linked === "linked") return again(parts, visit, owner, `You can sign in with ${name} now.`);
  await showAccount(parts, visit, owner, { error, status: 400 });
}

async function disconnect(parts: PeopleParts, visit: Posted, owner: Owner): Promise<void> {
  const provider = visit.form.get("provider") ?? "";
  const actor = `user:${owner.user.id}`;
  const outcome = await parts.store.run("unlinkUser", { ...placeOf(parts, owner), provider, actor });
  if (outcome === "no-link") return again(parts, visit, owner, "It was disconnected.");
  if (outcome === "unlinked") {
    // Whoever came in by it is out.
    await endOthers(parts, owner, "disconnected");
    return again(parts, visit, owner, "It was disconnected, and your other sessions were ended.");
  }
  const error = "This is your only way to sign in. Set a password or add a passkey first.";
  await showAccount(parts, visit, owner, { error, status: 400 });
}
