// Promises which public keys an estate knows, and whose they are. Pure. Trusts the loader to have read them (attachments.ts).
import type { PublicJwk } from "../config/estate.ts";
import type { Spot } from "../config/finding.ts";
import type { LintSubject } from "./rule.ts";

/** Equal for equal keys, whatever they are called (the required members of RFC 7638 §3.2). */
export function keyId({ kty, crv, x, y }: PublicJwk): string {
  return [kty, crv, x, y].join(" ");
}

export interface HeldKey {
  readonly key: string;
  /** System whose client has it. */
  readonly holder: string;
  readonly environment: string;
  readonly at: Spot;
}

export function clientKeys(lint: LintSubject): readonly HeldKey[] {
  return lint.environments.flatMap(({ config, systems }) =>
    systems.flatMap(({ system, at }) =>
      system.clients.flatMap(({ keys }) =>
        keys.map((jwk) => ({
          key: keyId(jwk),
          holder: system.id,
          environment: config.name,
          at: at("identity", "keys"),
        })),
      ),
    ),
  );
}
