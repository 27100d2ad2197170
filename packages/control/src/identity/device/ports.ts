// Promises what the device grant needs beside what every grant of people does. Trusts whoever puts it together (environment-identity.ts).
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { Directory } from "../directory.ts";
import type { OAuthPorts } from "../oauth/ports.ts";
import type { OAuthCommands } from "../oauth/store.ts";
import type { AttemptCommands } from "../people/attempt-commands.ts";

export interface DevicePorts {
  readonly oauth: OAuthPorts & { readonly store: Pick<Store<OAuthCommands & AttemptCommands>, "run"> };
  readonly issuer: string;
  /** 32 random bytes of this installation: user codes are kept as digests keyed with it. */
  readonly secret: Uint8Array;
  readonly directory: () => Directory;
  /** Whether there is a page to type a code into. */
  readonly servesPeople: () => boolean;
}
