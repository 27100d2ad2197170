// Promises that a refusal is recorded before it is answered, and that its answer is one of ours: a form gets an error of RFC 6749, a browser a redirect
// to its client or a page that says nothing. Trusts the handlers for the code of a refusal. Specified in docs/identity.md "Refusals".
import type { GrantWord } from "@sallyport/protocol/token/grant-type.ts";
import type { ProviderContext } from "oidc-provider";
import { corsFields } from "./browser-origins.ts";
import type { IssuanceRecorder, RefusedFacts, TokenFacts } from "./issuance-record.ts";
import { errorPage } from "./oauth/error-page.ts";
import type { PendingAssertion, ReplayGuard } from "./replay.ts";
import type { RefusedToken } from "./seams.ts";
import { addressOf } from "./source-address.ts";
import { answerOf, answerOfPushed, type PublicAnswer } from "./token-answer.ts";

export interface SettleParts {
  readonly ports: {
    readonly record: Pick<IssuanceRecorder, "refused">;
    readonly replay: Pick<ReplayGuard, "claimAssertion">;
  };
  readonly onFault: (fault: unknown) => void;
}

/** Runs around everything: records a refusal before it is answered and replaces the answer by one of ours. */
export async function settle(context: ProviderContext, next: () => Promise<void>, parts: SettleParts): Promise<void> {
  const path = context.path;
  await next().catch((fault: unknown) => {
    // A grant of ours failed before oidc-provider, which catches behind it.
    parts.onFault(fault);
    context.status = 500;
    context.body = { error: "server_error" };
  });
  let recorded = await claimLeftAssertion(context, parts);
  // What oidc-provider says to pages is not ours to say: only where a public client lives is one invited.
  for (const name of ["Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Vary"]) context.remove(name);
  for (const [name, value] of Object.entries(corsFields(context.req))) context.set(name, value);
  const code = context.state["refusal"];
  const served = path === "/authorize" ? context.status === 303 : context.status === 200 || context.status === 201;
  if (path === "/authorize") context.set("Referrer-Policy", "no-referrer");
  if (code === undefined && served) return;
  const authenticated = context.state["authenticated"];
  const facts: RefusedFacts = {
    client: typeof authenticated === "string" ? authenticated : null,
    code: typeof code === "string" ? code : "request-malformed",
    address: addressOf(context.req),
    ...knownOf(context),
  };
  try {
    const id = context.state["waiting"] === true ? null : await parts.ports.record.refused(facts);
    // Who has proven who it is may tell its operator what to look up.
    if (id !== null && facts.client !== null) context.set("Sallyport-Record", id);
  } catch (fault) {
    parts.onFault(fault);
    recorded = false;
  }
  if (path === "/authorize") return settlePage(context, recorded);
  const answer = recorded ? answerOfContext(context, path) : answerOf(503, null);
  context.status = answer.status;
  for (const [name, value] of Object.entries(answer.headers)) context.set(name, value);
  // RFC 6749 §5.2: whoever tried an Authorization field is told the scheme it is for.
  if (answer.status === 401 && context.req.headers.authorization !== undefined)
    context.set("WWW-Authenticate", 'Basic realm="sallyport"');
  context.body = answer.body;
}

/** The assertion that authenticated a client and that its grant left: set by provider.ts. */
export const pendingAssertion = ({ state }: ProviderContext) => state["assertion"] as PendingAssertion | undefined;

/** A refused request uses up its assertion too, and one that was used before is told so in place of all else. False when the store failed. */
async function claimLeftAssertion(context: ProviderContext, parts: SettleParts): Promise<boolean> {
  const claim = pendingAssertion(context)?.take() ?? null;
  if (claim === null) return true;
  try {
    if (!(await parts.ports.replay.claimAssertion("assertion", claim.key, claim))) {
      const { state } = context;
      Object.assign(state, {
        refusal: "assertion-replayed",
        authenticated: undefined,
        about: undefined,
        waiting: false,
      });
      state["answer"] = answerOf(401, { error: "invalid_client" });
    }
    return true;
  } catch (fault) {
    parts.onFault(fault);
    context.state["refusal"] ??= "request-malformed";
    return false;
  }
}

/** What provider.ts noted of the grant, and of a token that the policies refused. */
function knownOf({ state }: ProviderContext): Pick<RefusedFacts, "grantType" | "token"> {
  const { grantType, about } = state as { grantType?: GrantWord; about?: RefusedToken };
  return {
    ...(grantType === undefined ? {} : { grantType }),
    ...(about === undefined ? {} : { token: factsOf(about) }),
  };
}

export function factsOf(about: RefusedToken): NonNullable<RefusedFacts["token"]> {
  const { decision, grantType, policies, errors, places, action, provider, context } = about;
  const { audience, binding, subject, grants = [], scopes: operations } = decision;
  const proof = binding.kind === "none" ? "bearer" : binding.kind;
  const token: TokenFacts = { audience, proof, grantType, subject: subject?.id ?? null, grants, operations, policies };
  const why = errors.length > 0 ? errors.join("; ") : `forbidden by ${policies.join(", ")}`;
  const declaredAt = places.join(", ");
  const facts = { why, policies: policies.join(", "), ...(declaredAt === "" ? {} : { declaredAt }) };
  return { ...token, inputs: { stage: "token", facts, decision: { action, provider, ...context } } };
}

/** A refusal that may go to the client is a redirect already; every other one, and one without a record, is a page. */
function settlePage(context: ProviderContext, recorded: boolean): void {
  if (recorded && context.status === 303) return;
  const status = recorded && context.status < 500 ? 400 : 503;
  context.remove("Location");
  const page = errorPage(status);
  context.status = status;
  for (const [name, value] of Object.entries(page.headers)) context.set(name, value);
  context.body = page.body;
}

function answerOfContext(context: ProviderContext, path: string): PublicAnswer {
  const ours = context.state["answer"];
  // Set by `refuse` of provider.ts and by nobody else.
  if (ours !== undefined) return ours as PublicAnswer;
  if (path === "/par") return answerOfPushed(context.status, context.body);
  // RFC 6749 §5.2 has a code of its own for what oidc-provider calls a malformed request.
  if (context.state["refusal"] === "grant-type-not-allowed") return answerOf(400, { error: "unauthorized_client" });
  return answerOf(context.status, context.body);
}
