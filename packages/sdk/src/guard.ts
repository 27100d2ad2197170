// Promises a web framework two small edges: a connect-style middleware and a guard for fetch handlers. What is not verified never gets to a
// handler, and a handler that runs without the guard gets an error instead of a caller. Trusts the verifiers. Specified in docs/sdk.md.
import type { IncomingMessage, ServerResponse } from "node:http";
import { documentOf, faceOf, identifyProblems, type ProblemType } from "@sallyport/protocol/problem-face.ts";
import type { Deny } from "@sallyport/protocol/verdict.ts";
import { freshId } from "./dpop-proofs.ts";
import type { ServicePrincipal } from "./service-principal.ts";
import type { DirectRequest } from "./verify-direct.ts";

/** Both verifiers have this form. */
export interface Verify {
  (request: DirectRequest): Promise<{ readonly kind: "verified"; readonly principal: ServicePrincipal } | Deny>;
  nonce?(): string;
}

export interface GuardOptions {
  /** Called with every refusal and the id its caller was told; for your log. `deny.facts` are not for callers. */
  readonly onRefused?: (deny: Deny, correlationId: string) => void;
}

/** A refusal as it goes to a caller: it says nothing about which check failed. */
export interface Refusal {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Makes the answer to a refused request (RFC 9457). `nonce` is that of the verifier, where it has one. */
export function refusalOf(deny: Deny, correlationId: string, nonce?: string): Refusal {
  const known: Readonly<Record<string, ProblemType>> = identifyProblems;
  const problem = known[deny.code] ?? identifyProblems["credentials-missing"];
  const { status } = problem;
  const challenge =
    nonce === undefined
      ? 'Sallyport realm="gateway"'
      : `DPoP ${deny.code === "dpop-nonce" ? 'error="use_dpop_nonce", ' : ""}algs="ES256 EdDSA"`;
  return {
    status,
    headers: {
      "content-type": "application/problem+json",
      "cache-control": "no-store",
      "sallyport-verdict": `deny; by=service; code=${faceOf(deny.code, problem)}`,
      ...(status === 401 ? { "www-authenticate": challenge } : {}),
      ...(nonce === undefined ? {} : { "dpop-nonce": nonce }),
    },
    body: JSON.stringify(documentOf(deny.code, problem, { correlationId })),
  };
}

const principals = new WeakMap<object, ServicePrincipal>();

/** Who calls, of a request that passed the guard. Throws for any other: a route without its guard answers nobody. */
export function principalOf(request: object): ServicePrincipal {
  const principal = principals.get(request);
  if (principal === undefined)
    throw new Error("This request did not pass the guard: put sallyportMiddleware or sallyportGuard before the route.");
  return principal;
}

/** For fetch handlers (Hono): null lets the request pass, a Response is the answer. */
export function sallyportGuard(
  verify: Verify,
  options: GuardOptions = {},
): (request: Request) => Promise<Response | null> {
  return async (request) => {
    const refusal = await refusedBy(verify, request, options);
    return refusal === null ? null : new Response(refusal.body, refusal);
  };
}

export type ConnectMiddleware = (
  request: IncomingMessage,
  response: ServerResponse,
  next: (error?: unknown) => void,
) => void;

/** For Express, Nest, Fastify (on its raw request) and plain node:http. */
export function sallyportMiddleware(verify: Verify, options: GuardOptions = {}): ConnectMiddleware {
  return (request, response, next) => {
    refusedBy(verify, request, options).then((refusal) => {
      if (refusal !== null) return void response.writeHead(refusal.status, refusal.headers).end(refusal.body);
      if (verify.nonce !== undefined) response.setHeader("dpop-nonce", verify.nonce());
      next();
    }, next);
  };
}

async function refusedBy(
  verify: Verify,
  request: Request | IncomingMessage,
  options: GuardOptions,
): Promise<Refusal | null> {
  const result = await verify(request);
  if (result.kind === "verified") {
    principals.set(request, result.principal);
    return null;
  }
  const id = freshId();
  options.onRefused?.(result, id);
  return refusalOf(result, id, verify.nonce?.());
}
