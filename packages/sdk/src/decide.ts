// Promises a service one yes or no to whether its caller may do one of the service's own operations; without a plain yes there is none.
// Trusts the gateway that its fetch was made for. The form is that of the AuthZEN Authorization API 1.0; specified in docs/authorizer.md.
import { throwIfDenied } from "./denial.ts";
import { SallyportFault } from "./fault.ts";
import type { SallyportFetch } from "./sallyport-fetch.ts";

export interface DecisionQuestion {
  /** Id of the calling system: `principal.caller` of a verified request. */
  readonly caller: string;
  /** The user it acts for: `principal.subject`. */
  readonly user?: string;
  /** One of the service's own, `billing:invoice.read`. */
  readonly operation: string;
  /** Your name of the object; kept with the record. */
  readonly resource: string;
  /** Every attribute that the operation declares. */
  readonly attributes?: Readonly<Record<string, string | number | boolean>>;
}

export interface Decision {
  readonly allowed: boolean;
  /** Of the record: `sallyport why <crossing>`. */
  readonly crossing: string;
  /** Why not. */
  readonly code?: string;
  readonly reason?: string;
}

/**
 * Asks. `fetch`: a `sallyportFetch` whose `gateway` is the listener with `authorizer: { proxy: services }`. Throws DeniedError where the question was
 * refused, SallyportFault (decision-unusable) for an answer that is none, and whatever fetch throws: none of them is a yes.
 */
export async function decide(fetch: SallyportFetch, question: DecisionQuestion): Promise<Decision> {
  const { caller, user, operation, resource, attributes } = question;
  const body = JSON.stringify({
    subject: { type: "system", id: caller, ...(user === undefined ? {} : { properties: { user } }) },
    action: { name: operation },
    resource: { type: operation.split(":")[0], id: resource, properties: attributes },
  });
  const headers = { "content-type": "application/json" };
  const response = await fetch("/access/v1/evaluation", { method: "POST", headers, body });
  await throwIfDenied(response);
  const answer = response.status === 200 && (await response.json().catch(() => null));
  const { decision, context } = (answer || {}) as { decision?: unknown; context?: Partial<Omit<Decision, "allowed">> }; // judged below
  if (typeof decision !== "boolean" || typeof context?.crossing !== "string")
    throw new SallyportFault("decision-unusable", { public: "The gateway did not answer." });
  const { crossing, code, reason } = context;
  return {
    allowed: decision,
    crossing,
    ...(typeof code === "string" ? { code } : {}),
    ...(typeof reason === "string" ? { reason } : {}),
  };
}
