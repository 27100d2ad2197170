// Promises an operator's calls to the admin API: a short token bound to a fresh key, one proof per request, the pinned listener only.
// Trusts the operator key file (0600). RFC 7523, RFC 9449; specified in docs/identity.md "Operators" and docs/cli.md.
import { randomBytes } from "node:crypto";
import { type OperatorKey, parseKeyFile } from "@sallyport/control/identity/operator-key.ts";
import { readPrivateFile } from "@sallyport/kernel/seal/key-file.ts";
import { createTokenCrypto, generateSigner } from "@sallyport/kernel/token-crypto.ts";
import type { TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import { accessTokenHash, signDpopProof } from "@sallyport/protocol/token/dpop.ts";
import { signCompactJws } from "@sallyport/protocol/token/jws.ts";
import type { Command } from "commander";
import { CommandEnd, exitCode } from "./exit.ts";
import type { Terminal } from "./terminal.ts";

export interface AdminAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: string;
}

/** One HTTP exchange with the admin listener; rejects when it cannot be reached or is not the pinned one. */
export type AdminSend = (request: {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
}) => Promise<AdminAnswer>;

/** How an answer of lines ended: with a status that was not 200 and its body, because the other side was done, or because it broke off. */
export type LinesEnd =
  | { readonly kind: "status"; readonly status: number; readonly body: string }
  | { readonly kind: "ended" }
  | { readonly kind: "broken"; readonly why: string };

/** One answer of lines from the admin listener; `onLine` is awaited before the next. Never rejects for what the network does. */
export type AdminOpen = (
  request: { readonly path: string; readonly headers: Readonly<Record<string, string>>; readonly body: string },
  onLine: (line: string) => void | Promise<void>,
) => Promise<LinesEnd>;

export interface AdminClient {
  /** Lines as they come, until the answer ends. Throws CommandEnd with the exit code the refusal deserves. */
  follow(path: string, body: unknown, onLine: (line: string) => void | Promise<void>): Promise<LinesEnd>;
  /** The answer's JSON. Throws CommandEnd with the exit code the refusal deserves. */
  call<T>(method: "GET" | "POST", path: string, body?: unknown): Promise<T>;
}

/** What every command that speaks to control is given. */
export type Connect = (command: Command) => Promise<{ readonly client: AdminClient; readonly terminal: Terminal }>;

const keyFileBytesMax = 4096;
/** A nonce may have to be learned once for the token and once for the call. */
const attemptsMax = 3;

/** Reads the operator key file. Throws CommandEnd (bad use) that names the file and the fix. */
export function readOperatorKey(path: string): OperatorKey & { readonly pin: string } {
  let bytes: Uint8Array | null;
  try {
    bytes = readPrivateFile(path, keyFileBytesMax);
  } catch (error) {
    throw new CommandEnd(exitCode.badUse, error instanceof Error ? error.message : `${path} cannot be read`);
  }
  if (bytes === null) {
    throw new CommandEnd(
      exitCode.badUse,
      `there is no operator key file at ${path}`,
      "the first start writes one: .sallyport/control/operator.key.json with role all, .sallyport/operator.key.json with role control; name it with --operator <file> or SALLYPORT_OPERATOR",
    );
  }
  try {
    return parseKeyFile(bytes, path);
  } catch (error) {
    throw new CommandEnd(
      exitCode.badUse,
      error instanceof Error ? error.message : `${path} is not an operator key file`,
    );
  }
}

export function createAdminClient(
  key: OperatorKey,
  { send, open }: { readonly send: AdminSend; readonly open: AdminOpen },
  now: () => number,
): AdminClient {
  const crypto = createTokenCrypto();
  const proofKey = generateSigner("ES256").signer;
  const adminUrl = key.issuer.slice(0, key.issuer.lastIndexOf("/operators"));
  const session: Session = {
    key,
    adminUrl,
    proofKey,
    send,
    now,
    hash: (token) => accessTokenHash(token, crypto),
    nonce: null,
  };
  let token: string | null = null;
  const headersOf = (method: string, path: string, nonce: string | null) => ({
    authorization: `DPoP ${token}`,
    dpop: prove(session, { method, path, nonce, ath: session.hash(token ?? "") }),
  });
  return {
    follow: async (path, body, onLine) => {
      // Its answer brings a nonce for the one request that follows.
      token = await fetchToken(session);
      const headers = { ...headersOf("POST", path, session.nonce), "content-type": "application/json" };
      const end = await open({ path, headers, body: JSON.stringify(body) }, onLine);
      if (end.kind === "status") throw refusalOf(end);
      return end;
    },
    call: async <T>(method: "GET" | "POST", path: string, body?: unknown): Promise<T> => {
      token ??= await fetchToken(session);
      const answer = await withNonce(session, (nonce) => ({
        ...{ method, path },
        headers: {
          ...headersOf(method, path, nonce),
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        body: body === undefined ? null : JSON.stringify(body),
      }));
      // Each command names the shape its route answers with (docs/admin-api.md); the listener is proven by its pinned key.
      if (answer.status === 200) return JSON.parse(answer.body) as T;
      throw refusalOf(answer);
    },
  };
}

interface Session {
  readonly key: OperatorKey;
  readonly adminUrl: string;
  readonly proofKey: TokenSigner;
  readonly send: AdminSend;
  readonly now: () => number;
  readonly hash: (token: string) => string;
  nonce: string | null;
}

type Request = Parameters<AdminSend>[0];

async function fetchToken(session: Session): Promise<string> {
  const answer = await withNonce(session, (nonce) => ({
    method: "POST",
    path: "/operators/token",
    headers: {
      "content-type": "application/x-www-form-urlencoded",
      dpop: prove(session, { method: "POST", path: "/operators/token", nonce, ath: null }),
    },
    body: new URLSearchParams({
      grant_type: "client_credentials",
      client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
      client_assertion: assertion(session),
    }).toString(),
  }));
  const parsed: unknown = answer.status === 200 ? JSON.parse(answer.body) : null;
  if (
    typeof parsed === "object" &&
    parsed !== null &&
    "access_token" in parsed &&
    typeof parsed.access_token === "string"
  )
    return parsed.access_token;
  if (answer.status >= 500) throw refusalOf(answer);
  throw new CommandEnd(
    exitCode.notPermitted,
    "control does not accept this operator key",
    "ask another operator whether the key is still registered, and check the clock of this machine",
  );
}

/** Sends, and sends again with the nonce of the answer when that is all that was wrong. */
async function withNonce(session: Session, make: (nonce: string | null) => Request): Promise<AdminAnswer> {
  for (let attempt = 1; ; attempt += 1) {
    const answer = await reach(session, make(session.nonce));
    const offered = answer.headers["dpop-nonce"];
    const wanted = offered !== undefined && offered !== session.nonce && isNonceChallenge(answer);
    session.nonce = offered ?? session.nonce;
    if (!wanted || attempt === attemptsMax) return answer;
  }
}

function isNonceChallenge(answer: AdminAnswer): boolean {
  return (
    (answer.status === 401 || answer.status === 400) &&
    `${answer.headers["www-authenticate"] ?? ""}${answer.body}`.includes("use_dpop_nonce")
  );
}

async function reach(session: Session, request: Request): Promise<AdminAnswer> {
  try {
    return await session.send(request);
  } catch (error) {
    const why = error instanceof Error ? error.message : "no answer";
    throw new CommandEnd(
      exitCode.unreachable,
      `control cannot be reached at ${session.adminUrl}: ${why}`,
      "check that it runs and that the operator key file belongs to it",
    );
  }
}

function prove(
  session: Session,
  what: { readonly method: string; readonly path: string; readonly nonce: string | null; readonly ath: string | null },
): string {
  const url = new URL(what.path, session.adminUrl);
  return signDpopProof(
    {
      method: what.method,
      url: url.origin + url.pathname,
      jti: randomBytes(16).toString("base64url"),
      iat: Math.floor(session.now() / 1000),
      ...(what.nonce === null ? {} : { nonce: what.nonce }),
      ...(what.ath === null ? {} : { ath: what.ath }),
    },
    session.proofKey,
  );
}

function assertion(session: Session): string {
  const { operator, issuer, signer } = session.key;
  const iat = Math.floor(session.now() / 1000);
  const claims = {
    iss: operator,
    sub: operator,
    aud: issuer,
    iat,
    exp: iat + 60,
    jti: randomBytes(16).toString("base64url"),
  };
  return signCompactJws({ alg: signer.alg, typ: "JWT", kid: signer.kid }, claims, signer);
}

const exitOfStatus: Readonly<Record<number, CommandEnd["exit"]>> = {
  400: exitCode.badUse,
  401: exitCode.notPermitted,
  403: exitCode.notPermitted,
  413: exitCode.badUse,
  429: exitCode.unreachable,
  504: exitCode.unreachable,
  503: exitCode.unreachable,
};

function refusalOf(answer: Pick<AdminAnswer, "status" | "body">): CommandEnd {
  let title = `control answered ${answer.status}`;
  let fix = "";
  try {
    const problem: unknown = JSON.parse(answer.body);
    if (typeof problem === "object" && problem !== null) {
      if ("title" in problem && typeof problem.title === "string") title = problem.title;
      if ("detail" in problem && typeof problem.detail === "string") fix = problem.detail;
    }
  } catch {
    // The status says enough.
  }
  return new CommandEnd(exitOfStatus[answer.status] ?? exitCode.no, title, fix);
}
