// Promises what one environment's identity is built over: stores, keys, clocks and the ways out, each passed in. Trusts its caller.
// Specified in docs/identity.md.
import type { GeoFile } from "@sallyport/kernel/geo/geo-file.ts";
import type { LogHandle } from "@sallyport/kernel/log/port.ts";
import type { SliceCompiler } from "@sallyport/kernel/policy/compile-slice.ts";
import type { PolicyEngine } from "@sallyport/kernel/policy/port.ts";
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import type { Keyring } from "@sallyport/kernel/seal/keyring.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { DownMessage } from "@sallyport/protocol/channel/messages.ts";
import type { Pseudonyms } from "../audit/pseudonyms.ts";
import type { ControlCommands } from "../commands.ts";
import type { TokensConfig } from "../registry/config/estate.ts";
import type { ProviderFetch } from "./people/outside/guarded-fetch.ts";
import type { Passwords } from "./people/password.ts";
import type { SendLogout } from "./people/send-logout.ts";
import type { PostForm } from "./trust/ask-issuer.ts";
import type { FetchJwks } from "./trust/fetch-jwks.ts";

export interface EnvironmentIdentityOptions {
  readonly tenant: string;
  readonly environment: string;
  readonly region: string;
  readonly node: string;
  readonly identityUrl: string;
  readonly store: Pick<Store<ControlCommands>, "run">;
  readonly keyring: Keyring;
  readonly log: Pick<LogHandle, "append">;
  readonly pseudonyms: Pseudonyms;
  /** Control's own X25519 public key: what operators may read of a refusal is sealed to it. */
  readonly recipient: Uint8Array;
  readonly nonceSecret: Uint8Array;
  /** 32 random bytes: forms and challenges of the pages are keyed with it. */
  readonly pageSecret: Uint8Array;
  /** One for all environments of the process. */
  readonly passwords: Passwords;
  readonly nextId: () => string;
  readonly clock: Clock;
  /** Where addresses are; null: nobody knows. */
  readonly geo: GeoFile | null;
  readonly random: Random;
  /** What the estate says now; the first keys are made by it. */
  readonly tokens: () => TokensConfig;
  readonly acknowledgedKeySeq: () => number;
  readonly compiler: SliceCompiler;
  /** One for all environments of the process. */
  readonly engine: () => PolicyEngine;
  /** The only way to the keys of issuers outside. */
  readonly fetchJwks: FetchJwks;
  /** The only way to issuers outside that are asked about tokens. */
  readonly postForm: PostForm;
  /** Keys of issuers outside changed that gateways hold. */
  readonly issuerKeysChanged: () => void;
  /** The only way to clients that are told of ends. */
  readonly sendLogout: SendLogout;
  /** The only way to providers that people sign in through. */
  readonly fetchProvider: ProviderFetch;
  /** To every gateway of this environment. */
  readonly push: (message: DownMessage) => void;
  readonly fault: (error: unknown) => void;
}
