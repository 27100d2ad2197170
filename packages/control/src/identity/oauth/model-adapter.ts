// Promises oidc-provider a place for the two things it may keep, interactions and pushed requests, and nothing else: sessions, grants, codes and tokens
// are ours. Trusts the store. What its adapter contract leaves unsaid: research on oidc-provider, docs/identity/authorization-code.md.
import type { OAuthPorts } from "./ports.ts";
import { digestOf } from "./sealed-objects.ts";

/** The part of oidc-provider's adapter that the routes we serve can reach. */
export interface ModelAdapter {
  find(id: string): Promise<object | undefined>;
  upsert(id: string, payload: object, ttlSeconds: number): Promise<void>;
}

/** Sealed with an interaction. */
export interface InteractionFacts {
  /** Authorization request parameters as oidc-provider validated them. */
  readonly params: Readonly<Record<string, unknown>>;
  /** Digest of the pushed request it came from. */
  readonly pushed: string | null;
  /** As asked; `none` was taken out of `params`, because the pages answer it. */
  readonly prompts: readonly string[];
  /** Digest of the secret that the browser which asked was given. */
  readonly browser: string;
}

interface InteractionPayload {
  /** Random, 126 bits, and in no address: the secret of the browser. */
  readonly cid?: string;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly parJti?: string;
  readonly prompt?: { readonly details?: { readonly prompts?: readonly string[] } };
}

/** Fails closed should oidc-provider ever make none, or a short one. */
export const isBrowserSecret = (text: string): boolean => /^[A-Za-z0-9_-]{21,64}$/.test(text);

const nothing: ModelAdapter = {
  find: async () => undefined,
  upsert: async () => {
    throw new Error("oidc-provider keeps nothing of this kind here");
  },
};

/** The adapter of one model by its name. */
export function modelAdapter(oauth: OAuthPorts, model: string): ModelAdapter {
  const keep = async (kind: "interaction" | "par", row: { id: string; client: string; ttl: number; value: object }) => {
    const digest = digestOf(row.id);
    const sealed = await oauth.sealed.seal(`${kind}/${digest}`, row.value);
    const expiresAt = oauth.clock.now() + row.ttl * 1000;
    const { tenant, environment } = oauth.place;
    const order = { tenant, environment, kind, digest, client: row.client, expiresAt, sealed };
    if (!(await oauth.store.run("keepOAuthRequest", order))) throw new Error("an id was given out twice");
  };
  // Ids of assertions: an insert of our own decided about each before oidc-provider asks (acceptAssertion).
  if (model === "ReplayDetection") return { ...nothing, upsert: async () => undefined };
  if (model === "Interaction") {
    return {
      ...nothing,
      upsert: async (id, payload, ttl) => {
        // Made by oidc-provider of the request it validated.
        const { params = {}, parJti, prompt, cid = "" } = payload as InteractionPayload;
        if (!isBrowserSecret(cid)) throw new Error("oidc-provider made no secret for the browser");
        const pushed = parJti === undefined ? null : digestOf(parJti);
        const value: InteractionFacts = {
          params,
          pushed,
          prompts: prompt?.details?.prompts ?? [],
          browser: digestOf(cid),
        };
        await keep("interaction", { id, client: String(params["client_id"]), ttl, value });
      },
    };
  }
  if (model === "PushedAuthorizationRequest") {
    return {
      find: async (id) => {
        const digest = digestOf(id);
        const row = await oauth.store.run("readOAuthObject", { ...oauth.place, kind: "par", digest });
        if (row === null) return undefined;
        const payload = await oauth.sealed.open(`par/${digest}`, row.sealed);
        return { ...payload, ...(row.usedAt === null ? {} : { consumed: Math.floor(row.usedAt / 1000) }) };
      },
      // The model does not say whose it is; the request inside does, and is compared when it is used (RFC 9126 §7.3).
      upsert: (id, payload, ttl) => keep("par", { id, client: "", ttl, value: payload }),
    };
  }
  return nothing;
}
