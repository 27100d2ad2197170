// Promises what an operator can do about API keys: list them, make and end one, each one transaction with its record. Trusts api.ts, which has proven the
// operator. A key leaves this file once, in the answer. Specified in docs/identity/api-keys.md.
import { hash } from "node:crypto";
import { printApiKey } from "@sallyport/protocol/token/api-key.ts";
import { type Actor, AdminFault } from "../../admin/actions.ts";
import type { ControlParts } from "../../control-parts.ts";
import { suggest } from "../../registry/config/nearest.ts";
import { readEnvironments } from "../../registry/estate-state.ts";
import type { StoredApiKey } from "./store.ts";

const idBytes = 5;
const secretBytes = 32;

export interface ApiKeyStatus extends Omit<StoredApiKey, "digest"> {
  readonly state: "live" | "ended";
}

export interface ApiKeyActions {
  apiKeys(): Promise<readonly ApiKeyStatus[]>;
  /** Rejects with AdminFault where the estate does not accept it, or two are live. The key is in this answer and nowhere else. */
  addApiKey(
    actor: Actor,
    request: {
      readonly environment: string;
      readonly system: string;
      readonly integrations: readonly string[];
      readonly lifetimeMs: number;
      readonly overlapMs: number;
      readonly reason: string;
    },
  ): Promise<{
    readonly id: string;
    readonly key: string;
    readonly system: string;
    readonly integrations: readonly string[];
    readonly notAfter: number;
    readonly follows: { readonly id: string; readonly notAfter: number } | null;
  }>;
  endApiKey(
    actor: Actor,
    request: { readonly environment: string; readonly id: string; readonly reason: string },
  ): Promise<{ readonly ended: string }>;
}

export function createApiKeyActions(parts: ControlParts): ApiKeyActions {
  const { tenant, store, clock } = parts;
  return {
    apiKeys: async () =>
      (await store.run("readApiKeys", { tenant })).map(({ digest: _digest, ...shown }) => ({
        ...shown,
        state: shown.endedAt === null && shown.notAfter > clock.now() ? "live" : "ended",
      })),
    addApiKey: (actor, request) => add(parts, actor, request),
    endApiKey: async (actor, { environment, id, reason }) => {
      const isEnded = await store.run("endApiKey", { tenant, environment, id, actor, reason });
      if (!isEnded)
        throw new AdminFault(
          "not-found",
          `there is no live API key ${id} in ${environment}`,
          "sallyport api-key list shows them",
        );
      await parts.changed();
      return { ended: id };
    },
  };
}

async function add(
  parts: ControlParts,
  actor: Actor,
  request: Parameters<ApiKeyActions["addApiKey"]>[1],
): ReturnType<ApiKeyActions["addApiKey"]> {
  const { tenant, store, clock, random } = parts;
  const { environment, system, lifetimeMs, overlapMs, reason } = request;
  const integrations = [...new Set(request.integrations)].sort();
  const untilMs = await endOf(parts, { environment, system, integrations });
  const id = Buffer.from(random.bytes(idBytes)).toString("hex");
  const key = printApiKey(id, random.bytes(secretBytes));
  // Nobody can guess 256 bits, so one fast hash is right.
  const digest = hash("sha256", key, "base64url");
  const notAfter = Math.min(clock.now() + lifetimeMs, untilMs);
  const made = { tenant, environment, id, digest, system, integrations, notAfter, overlapMs, actor, reason };
  const added = await store.run("addApiKey", made);
  if (added.kind === "full")
    throw new AdminFault(
      "conflict",
      `two keys of ${system} are live for one of these integrations: ${added.live.join(", ")}`,
      "end the one that is no longer used: sallyport api-key end",
    );
  await parts.changed();
  return { id, key, system, integrations, notAfter, follows: added.follows };
}

/** When the first of the integrations stops taking API keys. */
async function endOf(
  { tenant, store, clock }: ControlParts,
  { environment, system, integrations }: Pick<StoredApiKey, "environment" | "system" | "integrations">,
): Promise<number> {
  const config = (await readEnvironments(store, tenant)).get(environment)?.config;
  if (config === undefined) throw new AdminFault("not-found", `there is no environment ${environment}`);
  const holder = config.systems.find(({ id }) => id === system);
  const known = config.systems.map(({ id }) => id);
  if (holder === undefined)
    throw new AdminFault("not-found", `there is no system ${system} in ${environment}`, suggest(system, known));
  if (holder.apiKeys === undefined)
    throw new AdminFault(
      "conflict",
      `${system} has no API keys by its file, so one would be refused`,
      "declare `apiKeys: {}` under its `identity`; better: give it a key that signs, or a certificate",
    );
  const ends = integrations.map((id) => {
    const integration = config.integrations.find((one) => one.id === id && one.from === system);
    const names = config.integrations.filter(({ from }) => from === system).map((one) => one.id);
    if (integration === undefined)
      throw new AdminFault("not-found", `${system} has no integration ${id} in ${environment}`, suggest(id, names));
    if (!integration.proof.includes("api-key") || (integration.bearerUntilMs ?? 0) <= clock.now())
      throw new AdminFault(
        "conflict",
        `${id} takes no API keys`,
        "write `proof: { accept: [api-key], reason: …, until: <date> }` into it",
      );
    return integration.bearerUntilMs ?? 0;
  });
  return Math.min(...ends);
}
