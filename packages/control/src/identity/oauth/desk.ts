// Promises that a request is answered once, in the browser it was made in, and that what the user allowed is what the code stands for.
// Trusts the pages for who the user is and what they allowed. Specified in RFC 6749 §4.1.2, RFC 9207, docs/identity/authorization-code.md.
import type { Directory, IdentityClient } from "../directory.ts";
import type { IssuanceRecorder } from "../issuance-record.ts";
import type { CodeFacts } from "./code-grant.ts";
import { type AuthorizationFacts, decideAuthorization } from "./decide-authorization.ts";
import type { GrantFacts } from "./grant-facts.ts";
import type {
  AuthorizationAsk,
  AuthorizationDesk,
  FinishedAuthorization,
  LoginRefusal,
  LoginResult,
} from "./interaction.ts";
import type { InteractionFacts } from "./model-adapter.ts";
import type { OAuthPorts } from "./ports.ts";
import { digestOf, newSecretId } from "./sealed-objects.ts";

/** Carries the secret of a request in the browser that asked; its Path is that request's page. */
export const interactionCookie = "__Secure-sallyport-interaction";
export const codeLifetimeMs = 60_000;

export interface DeskPorts {
  readonly oauth: OAuthPorts;
  readonly issuer: string;
  readonly directory: () => Directory;
  readonly record: Pick<IssuanceRecorder, "refused">;
}

interface Under {
  readonly id: string;
  readonly digest: string;
  readonly request: InteractionFacts;
  readonly client: IdentityClient;
  readonly facts: AuthorizationFacts;
  readonly expiresAt: number;
}

export function createDesk(ports: DeskPorts): AuthorizationDesk {
  return {
    pending: async (id, cookie) => {
      const under = await find(id, cookie, ports);
      if (under === null) return null;
      const returnsTo = originOf(text(under.request.params, "redirect_uri") ?? "");
      return { id, returnsTo, expiresAt: under.expiresAt, ...askOf(under.client, under.facts, under.request) };
    },
    allow: async (id, cookie, login) => {
      const under = await find(id, cookie, ports);
      return under === null ? null : allow(under, login, ports);
    },
    refuse: async (id, cookie, error) => {
      const under = await find(id, cookie, ports);
      return under === null ? null : refuse(under, error, ports);
    },
  };
}

/** The request under way, as the registry sees it now: what was suspended while the user was thinking is not asked for any more. */
async function find(id: string, cookie: string | undefined, ports: DeskPorts): Promise<Under | null> {
  const held = secretsIn(cookie);
  if (held.length === 0) return null;
  const { oauth } = ports;
  const digest = digestOf(id);
  const row = await oauth.store.run("readOAuthObject", { ...oauth.place, kind: "interaction", digest });
  if (row === null || row.usedAt !== null || row.expiresAt <= oauth.clock.now()) return null;
  const request = await oauth.sealed.open<InteractionFacts>(`interaction/${digest}`, row.sealed);
  if (!held.includes(request.browser)) return null;
  const directory = ports.directory();
  const client = directory.clients.get(row.client);
  if (client === undefined) return null;
  const facts = decideAuthorization({
    issuer: ports.issuer,
    client,
    resources: texts(request.params["resource"]),
    scope: text(request.params, "scope"),
    grants: directory.grants,
    now: oauth.clock.now(),
  });
  return facts.kind === "refuse" ? null : { id, digest, request, client, facts, expiresAt: row.expiresAt };
}

/**
 * Digests of what this browser holds. The address of a request is seen by histories, logs and whoever looks on; the secret is in the cookie of the browser
 * that asked and nowhere else, so that the address opens nothing elsewhere, also with a cookie made of it.
 */
function secretsIn(cookie: string | undefined): readonly string[] {
  return (cookie ?? "")
    .split(";", 64)
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${interactionCookie}=`))
    .map((pair) => digestOf(pair.slice(interactionCookie.length + 1)));
}

async function allow(under: Under, login: LoginResult, ports: DeskPorts): Promise<FinishedAuthorization | null> {
  const { oauth } = ports;
  const { request, client, facts } = under;
  const now = oauth.clock.now();
  const scopes = login.scopes;
  // The pages show what is asked; a wider answer is a mistake of theirs, and narrower than everything is not "everything".
  if (facts.scopes !== null && (scopes === null || scopes.some((scope) => !facts.scopes?.includes(scope))))
    throw new Error("the pages allowed more than was asked");
  const maxAge = Number(text(request.params, "max_age") ?? Number.POSITIVE_INFINITY);
  if (now / 1000 - login.subject.authTime > maxAge + 10) return refuse(under, "login_required", ports);
  const code = newSecretId(oauth.random);
  const codeDigest = digestOf(code);
  const grant = `grt_${Buffer.from(oauth.random.bytes(16)).toString("base64url")}`;
  const redirectUri = text(request.params, "redirect_uri") ?? "";
  const codeFacts: CodeFacts = {
    redirectUri,
    challenge: text(request.params, "code_challenge") ?? "",
    jkt: text(request.params, "dpop_jkt") ?? null,
  };
  const grantFacts: GrantFacts = {
    subject: login.subject,
    resources: facts.resources,
    scopes,
    openid: facts.openid,
    nonce: text(request.params, "nonce") ?? null,
  };
  const allowed = await oauth.store.run("allowAuthorization", {
    ...oauth.place,
    interaction: under.digest,
    pushed: request.pushed,
    consent: login.consented ? { providers: facts.providers, scopes } : null,
    grant: {
      id: grant,
      client: client.id,
      subject: login.subject.id,
      session: login.subject.session ?? null,
      authenticatedAt: login.subject.authTime * 1000,
      expiresAt: now + client.lives.refreshMs,
      sealed: await oauth.sealed.seal(`grant/${grant}`, grantFacts),
    },
    code: {
      digest: codeDigest,
      expiresAt: now + codeLifetimeMs,
      sealed: await oauth.sealed.seal(`code/${codeDigest}`, codeFacts),
    },
  });
  return allowed ? { location: answerAt(redirectUri, { code }, request, ports) } : null;
}

async function refuse(under: Under, error: LoginRefusal, ports: DeskPorts): Promise<FinishedAuthorization | null> {
  const { oauth, record } = ports;
  const { request, digest } = under;
  const use = { ...oauth.place, interaction: digest, pushed: request.pushed };
  if (!(await oauth.store.run("refuseAuthorization", use))) return null;
  await record.refused({ client: under.client.id, code: error.replaceAll("_", "-"), address: "" });
  return { location: answerAt(text(request.params, "redirect_uri") ?? "", { error }, request, ports) };
}

/** The registered redirect URI, byte by byte, with the answer put behind it. `iss` always (RFC 9207 §2). */
function answerAt(
  redirectUri: string,
  answer: Readonly<Record<string, string>>,
  request: InteractionFacts,
  { issuer }: DeskPorts,
): string {
  const state = text(request.params, "state");
  const query = new URLSearchParams({ ...answer, ...(state === undefined ? {} : { state }), iss: issuer });
  return `${redirectUri}${redirectUri.includes("?") ? "&" : "?"}${query}`;
}

function askOf(client: IdentityClient, facts: AuthorizationFacts, request: InteractionFacts): AuthorizationAsk {
  const maxAge = text(request.params, "max_age");
  const known = ["none", "login", "consent", "select_account"] as const;
  return {
    client: client.id,
    system: client.system,
    providers: facts.providers,
    scopes: facts.scopes,
    openid: facts.openid,
    prompts: known.filter((one) => request.prompts.includes(one)),
    maxAgeSeconds: maxAge === undefined ? null : Number(maxAge),
    acrValues: (text(request.params, "acr_values") ?? "").split(" ").filter((value) => value !== ""),
    loginHint: short(text(request.params, "login_hint")),
    uiLocales: short(text(request.params, "ui_locales")),
  };
}

const short = (value: string | undefined): string | null => (value === undefined ? null : value.slice(0, 512));

function text(params: Readonly<Record<string, unknown>>, name: string): string | undefined {
  const value = params[name];
  return typeof value === "string" ? value : undefined;
}

function texts(value: unknown): readonly string[] {
  if (typeof value === "string") return [value];
  return Array.isArray(value) ? value.filter((one): one is string => typeof one === "string") : [];
}

/** `com.example.app:` where a native app is called by its own scheme. */
function originOf(uri: string): string {
  const { origin, protocol } = new URL(uri);
  return origin === "null" ? protocol : origin;
}
