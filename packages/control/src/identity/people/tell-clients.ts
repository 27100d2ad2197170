// Promises that every client which asked for it hears of the end of a session it had tokens of: soon, in bounded tries with growing pauses, by one control
// node at a time, and by the same token id each time. Trusts the store's leases. OpenID Connect Back-Channel Logout 1.0, docs/identity/logout.md.
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import { signLogoutToken } from "../mint.ts";
import type { ClaimedLogout, LogoutOutcome } from "./logout-commands.ts";
import { type LogoutPlaceVerdict, type SendLogout, sendTimeoutMs } from "./send-logout.ts";
import type { PeopleCommands } from "./store.ts";

/** After that many a client is not told any more, and an operator is. */
export const attemptsMax = 8;
const firstPauseMs = 5_000;
const pauseMsMax = 3_600_000;
/** A node that claimed and is gone is waited for this long; a try is far shorter. */
export const leaseMs = 12 * sendTimeoutMs;
const clientsMax = 32;
const rowsMax = 8;
const leaseBytes = 16;

/** How long to wait after that many tries: five seconds, then four times as long each time, at most an hour; half of it by chance. */
export function pauseMs(attempts: number, random: Random): number {
  const whole = Math.min(pauseMsMax, firstPauseMs * 4 ** (attempts - 1));
  const share = Buffer.from(random.bytes(4)).readUInt32BE() / 2 ** 32;
  return Math.round(whole / 2 + (whole / 2) * share);
}

export interface TellParts {
  readonly tenant: string;
  readonly environment: string;
  readonly issuer: string;
  readonly store: Pick<Store<PeopleCommands>, "run">;
  readonly send: SendLogout;
  /** null: no key may sign now. */
  readonly signer: () => TokenSigner | null;
  readonly placeOf: (client: string) => LogoutPlaceVerdict;
  readonly clock: Clock;
  readonly random: Random;
}

/** Tells whoever is due; call it about once a second, never twice at once in one process. Resolves with how many were told. */
export async function tellClients(parts: TellParts): Promise<number> {
  const { tenant, environment, store, random } = parts;
  const signer = parts.signer();
  if (signer === null) return 0;
  const lease = Buffer.from(random.bytes(leaseBytes)).toString("base64url");
  const claim = { tenant, environment, lease, leaseMs, clientsMax, rowsMax };
  const claimed = await store.run("claimLogouts", claim);
  const told = await Promise.all(
    claimed.map(async (logout) => {
      const outcome = await tell(logout, signer, parts);
      if (outcome === null) await store.run("dropLogout", { id: logout.id, lease });
      else await store.run("settleLogout", { tenant, environment, ...logout, lease, outcome });
      return outcome?.kind === "delivered";
    }),
  );
  return told.filter(Boolean).length;
}

/** null: the client does not want to hear. */
async function tell(logout: ClaimedLogout, signer: TokenSigner, parts: TellParts): Promise<LogoutOutcome | null> {
  const { issuer, send, clock, random } = parts;
  const { id, client, user, session, attempts } = logout;
  const place = parts.placeOf(client);
  if (place === "none") return null;
  const decision = { issuer, client, subject: user, session, id };
  const why =
    typeof place === "string"
      ? place === "missing"
        ? "client-missing"
        : place
      : await send(place, signLogoutToken(decision, signer, { clock }));
  if (why === null) return { kind: "delivered" };
  if (attempts >= attemptsMax) return { kind: "failed", why };
  return { kind: "retry", why, nextAt: clock.now() + pauseMs(attempts, random) };
}
