// Promises that what an operator revokes can be what a token carries: a typing error or a whole token is refused instead of ending nothing.
// Trusts nothing. Kinds and ids: docs/identity/revocation.md.
import { clientLineagePrefix } from "@sallyport/protocol/token/claim-types.ts";
import { suggest } from "../registry/config/nearest.ts";

export interface RevocableQuestion {
  readonly kind: "jti" | "client" | "grant" | "session" | "subject";
  readonly value: string;
  /** Ids of the clients that are served in the environment. */
  readonly clients: Iterable<string>;
  /** The operator says that the client is none that is served. */
  readonly absent: boolean;
}

export type RevocableVerdict =
  | { readonly kind: "revocable" }
  | { readonly kind: "malformed" | "unknown"; readonly message: string; readonly fix: string };

const clientForm = /^[a-z][a-z0-9-]{0,62}$/;
/** 128 random bits, or as many of a hash. */
const id = "[A-Za-z0-9_-]{22}";
const forms = {
  jti: [new RegExp(`^${id}$`), "a token", "the jti of a token is 22 characters; sallyport token inspect shows it"],
  grant: [
    new RegExp(`^(?:(?:grt|xch)_${id}|${clientLineagePrefix}[a-z][a-z0-9-]{0,62})$`),
    "a grant",
    "it looks like grt_ or xch_ and 22 characters; sallyport token inspect shows it as gid",
  ],
  session: [
    new RegExp(`^ses_${id}$`),
    "a session",
    "it looks like ses_ and 22 characters; sallyport session list shows them",
  ],
  subject: [
    new RegExp(`^(?:usr|ext)_${id}$`),
    "a subject",
    "it looks like usr_ or ext_ and 22 characters, never a name; sallyport user list shows those of users",
  ],
} as const;

/** Whether anything could carry this value; no value is repeated but the name of a client, because it may be a credential. */
export function decideRevocable({ kind, value, clients, absent }: RevocableQuestion): RevocableVerdict {
  const known = [...clients];
  if (kind !== "client") {
    const [form, what, fix] = forms[kind];
    // A client's own tokens speak for the client.
    if (form.test(value) || (kind === "subject" && known.includes(value))) return { kind: "revocable" };
    return { kind: "malformed", message: `value: not the id of ${what}`, fix };
  }
  if (!clientForm.test(value))
    return {
      kind: "malformed",
      message: "value: not the id of a client",
      fix: "a client's id is small letters, digits and hyphens; sallyport client list shows them",
    };
  if (absent || known.includes(value)) return { kind: "revocable" };
  return {
    kind: "unknown",
    message: `there is no client ${value}`,
    fix: `--absent revokes one that is not served any more; ${suggest(value, known)}`,
  };
}
