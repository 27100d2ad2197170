// Promises the device grant of one issuer, ready to be handed to createIssuer and to the pages. Trusts its ports. Specified in docs/identity/device.md.
import type { DeviceDesk } from "../oauth/interaction.ts";
import type { OAuthOptions } from "../oauth/parts.ts";
import { SealedObjects } from "../oauth/sealed-objects.ts";
import type { ClientEndpoint, GrantHandler } from "../seams.ts";
import type { GrantPorts } from "../token-grant.ts";
import { deviceAuthorization } from "./device-authorization.ts";
import { createDeviceDesk } from "./device-desk.ts";
import { deviceCode } from "./device-grant.ts";
import type { DevicePorts } from "./ports.ts";

export interface DeviceOptions
  extends Omit<OAuthOptions, "store" | "record">,
    Pick<DevicePorts, "secret" | "servesPeople"> {
  readonly store: DevicePorts["oauth"]["store"];
}

export interface Devices {
  readonly grant: (ports: GrantPorts) => GrantHandler;
  readonly endpoint: (ports: GrantPorts) => ClientEndpoint;
  /** For the pages at `<issuer>/device`. */
  readonly desk: DeviceDesk;
  /** Members of the metadata document (RFC 8628 §4). */
  readonly metadata: Readonly<Record<string, unknown>>;
}

export function createDevices(options: DeviceOptions): Devices {
  const { issuer, keyring, place } = options;
  const ports: DevicePorts = { ...options, oauth: { ...options, sealed: new SealedObjects(keyring, place) } };
  return {
    grant: deviceCode(ports),
    endpoint: deviceAuthorization(ports),
    desk: createDeviceDesk(ports),
    metadata: { device_authorization_endpoint: `${issuer}/device_authorization` },
  };
}
