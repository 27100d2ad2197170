// Promises one answer for every log-in that fails, whoever it named and whatever was wrong, at the cost of one that does not; attempts are counted first.
// Trusts the store's compare-and-set for everything that may be used once. Specified in docs/identity/people.md "Throttling", OWASP ASVS 2.2.
import type { Clock } from "@sallyport/kernel/ports.ts";
import type { PurposeRing } from "@sallyport/kernel/seal/keyring.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { PeopleConfig } from "../../registry/config/estate.ts";
import type { Method } from "./acr.ts";
import { loginTakes, type ThrottleTake, throttleRules } from "./decide-throttle.ts";
import { digestOf, normalizeRecoveryCode } from "./one-time-secrets.ts";
import type { BrowserRequest } from "./pages/browser-request.ts";
import { challengeOf, type PasskeyPlace, parseAssertion, verifyPasskey } from "./passkeys.ts";
import type { Passwords } from "./password.ts";
import type { SignedValues } from "./signed-values.ts";
import type { PeopleCommands } from "./store.ts";
import { decideTotp } from "./totp.ts";
import { type StoredUser, userNameForm } from "./user-commands.ts";

export type LoginOutcome =
  | { readonly kind: "proven"; readonly user: string; readonly methods: readonly Method[] }
  /** The password was right; this user has a second factor. */
  | { readonly kind: "second-factor"; readonly user: string }
  /** `code` is for the record; the person is told the same thing each time. */
  | {
      readonly kind: "refused";
      readonly code: LoginRefusal /** Whose, for the record; absent: nobody's. */;
      readonly user?: string;
    }
  | { readonly kind: "wait"; readonly retryAfterMs: number };

export type LoginRefusal = "login-password" | "login-code" | "login-passkey" | "login-disabled" | "login-way";

export interface LoginPorts {
  readonly tenant: string;
  readonly environment: string;
  readonly store: Pick<Store<PeopleCommands>, "run">;
  readonly passwords: Passwords;
  readonly values: SignedValues;
  /** Purpose `people`: seeds of one-time codes. */
  readonly seeds: PurposeRing;
  readonly passkeys: PasskeyPlace | null;
  /** What the estate allows now. */
  readonly config: () => Pick<PeopleConfig, "signIn"> | null;
  readonly clock: Clock;
}

/** Does the estate let people sign in this way? */
export function allows(
  { config, passkeys }: Pick<LoginPorts, "config" | "passkeys">,
  way: "passkey" | "password",
): boolean {
  return config()?.signIn.includes(way) === true && (way !== "passkey" || passkeys !== null);
}

/** What seals a seed: it opens for its own user only. */
export function seedContext(
  { environment }: Pick<LoginPorts, "environment">,
  user: string,
): Readonly<Record<string, string>> {
  return { environment, user, what: "totp" };
}

const busyMs = 1_000;

/** A name and a password, as somebody typed them. */
export async function loginWithPassword(
  ports: LoginPorts,
  request: BrowserRequest,
  typed: { readonly name: string; readonly password: string },
): Promise<LoginOutcome> {
  const { tenant, environment, store, passwords } = ports;
  const place = { tenant, environment };
  if (!allows(ports, "password")) return { kind: "refused", code: "login-way" };
  const name = typed.name.trim().toLowerCase();
  // Looked up whether or not it can be one: the same statements for every name.
  const user = await store.run("readUserByName", { ...place, name: userNameForm.test(name) ? name : "-" });
  const isKnown = await store.run("isKnownDevice", {
    ...place,
    user: user?.id ?? "-",
    digest: request.deviceDigest ?? "-",
  });
  const takes = loginTakes({
    account: digestOf("source", `${tenant}/${environment}/${name}`),
    source: request.source,
    device: isKnown ? request.deviceDigest : null,
  });
  const waitMs = await store.run("takeAttempt", { ...place, takes });
  if (waitMs !== null) return { kind: "wait", retryAfterMs: waitMs };
  const verdict = await passwords.verify(typed.password, user?.password ?? null, request.source);
  if (verdict.kind === "busy") {
    await store.run("giveAttemptBack", { ...place, takes });
    return { kind: "wait", retryAfterMs: busyMs };
  }
  if (verdict.kind === "no-match" || user === null || user.password === null)
    return { kind: "refused", code: "login-password", ...(user === null ? {} : { user: user.id }) };
  if (user.state !== "active") return { kind: "refused", code: "login-disabled", user: user.id };
  await store.run("giveAttemptBack", { ...place, takes });
  if (verdict.rehash !== null)
    await store.run("rehashPassword", { ...place, user: user.id, from: user.password, to: verdict.rehash });
  if (user.totp !== null) return { kind: "second-factor", user: user.id };
  return { kind: "proven", user: user.id, methods: ["password"] };
}

/** The second step: a one-time code or a recovery code of a user whose password was right a moment ago. */
export async function loginWithCode(
  ports: LoginPorts,
  typed: { readonly user: string; readonly code: string },
): Promise<LoginOutcome> {
  const { tenant, environment, store } = ports;
  const place = { tenant, environment, user: typed.user };
  const takes: readonly ThrottleTake[] = [{ key: `2:${typed.user}`, rule: throttleRules.secondFactor }];
  const waitMs = await store.run("takeAttempt", { tenant, environment, takes });
  if (waitMs !== null) return { kind: "wait", retryAfterMs: waitMs };
  const user = await store.run("readUser", place);
  if (user?.state !== "active") return { kind: "refused", code: "login-code", user: typed.user };
  const method = (await acceptsTotp(ports, user, typed.code))
    ? "totp"
    : (await acceptsRecovery(ports, user, typed.code))
      ? "recovery-code"
      : null;
  if (method === null) return { kind: "refused", code: "login-code", user: typed.user };
  await store.run("giveAttemptBack", { tenant, environment, takes });
  return { kind: "proven", user: user.id, methods: ["password", method] };
}

async function acceptsTotp(ports: LoginPorts, user: StoredUser, code: string): Promise<boolean> {
  if (user.totp === null) return false;
  const secret = await ports.seeds.open(seedContext(ports, user.id), user.totp);
  const verdict = decideTotp({ secret, code, now: ports.clock.now(), lastStep: user.totpStep });
  secret.fill(0);
  if (verdict.kind === "refused") return false;
  const { tenant, environment, store } = ports;
  return store.run("acceptTotpStep", { tenant, environment, user: user.id, step: verdict.step });
}

async function acceptsRecovery(
  { tenant, environment, store }: LoginPorts,
  user: StoredUser,
  code: string,
): Promise<boolean> {
  const normal = normalizeRecoveryCode(code);
  if (normal === null) return false;
  return (
    (await store.run("useRecoveryCode", {
      tenant,
      environment,
      user: user.id,
      digest: digestOf("recovery", normal),
    })) !== null
  );
}

/** Whatever passkey the browser gave, whoever's it is. `json`: what the page's script made of it. */
export async function loginWithPasskey(
  ports: LoginPorts,
  request: BrowserRequest,
  json: string,
): Promise<LoginOutcome> {
  const { tenant, environment, store, values, passkeys } = ports;
  const place = { tenant, environment };
  const refused = { kind: "refused", code: "login-passkey" } as const;
  const takes: readonly ThrottleTake[] = [{ key: `s:${request.source}`, rule: throttleRules.source }];
  const waitMs = await store.run("takeAttempt", { ...place, takes });
  if (waitMs !== null) return { kind: "wait", retryAfterMs: waitMs };
  const response = parseAssertion(json);
  if (response === null || passkeys === null || !allows(ports, "passkey")) return refused;
  const challenge = challengeOf(response);
  const opened = values.openChallenge({ purpose: "assertion", browser: request.binding }, challenge);
  if (opened === null || !(await store.run("spendOnce", { ...place, digest: opened.id, until: opened.until })))
    return refused;
  const passkey = await store.run("readPasskey", { ...place, id: response.id });
  if (passkey === null) return refused;
  const { user, id } = passkey;
  const verdict = await verifyPasskey(passkeys, challenge, { response, passkey });
  if (verdict.kind === "refused") return { ...refused, user };
  if (!(await store.run("usePasskey", { ...place, user, id, counter: verdict.counter }))) return { ...refused, user };
  if ((await store.run("readUser", { ...place, user }))?.state !== "active")
    return { kind: "refused", code: "login-disabled", user };
  await store.run("giveAttemptBack", { ...place, takes });
  return { kind: "proven", user, methods: [passkey.synced ? "passkey-synced" : "passkey-bound"] };
}
