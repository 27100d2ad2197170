// Promises that a token leaves in the form its audience wants and is read back from each of them, here and by gateways of this environment alone.
// Trusts handles.ts and encryption-keys.ts. Specified in docs/identity/token-forms.md.
import { decryptToken, encryptToken, looksNested, readNestedToken } from "@sallyport/kernel/nested-token.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { AccessTokenClaims } from "@sallyport/protocol/token/claims.ts";
import { handlePrefix } from "@sallyport/protocol/token/handle.ts";
import { systemOfResource } from "../decide-target.ts";
import type { Directory } from "../directory.ts";
import { type EncryptionCommands, EncryptionKeys } from "./encryption-keys.ts";
import { type HandleCommands, type HandlePorts, TokenHandles } from "./handles.ts";

export interface FormPorts extends Omit<HandlePorts, "store"> {
  readonly store: Pick<Store<HandleCommands & EncryptionCommands>, "run">;
  readonly issuer: string;
  readonly directory: () => Directory;
}

export class TokenForms {
  readonly #ports: FormPorts;
  readonly handles: TokenHandles;
  readonly keys: EncryptionKeys;

  constructor(ports: FormPorts) {
    this.#ports = ports;
    this.handles = new TokenHandles(ports);
    this.keys = new EncryptionKeys(ports);
  }

  /** The text a token leaves as. Rejects when what it needs cannot be kept: then nothing may leave. */
  readonly present = async (token: string, { aud, exp }: AccessTokenClaims): Promise<string> => {
    const { issuer, directory, random } = this.#ports;
    const form = directory().tokenForm(systemOfResource(issuer, aud) ?? "");
    if (form === "opaque") return this.handles.keep(token, exp * 1000);
    return form === "encrypted" ? encryptToken(token, await this.keys.current(), random) : token;
  };

  /** The token that a text stands for: itself where it is neither handle nor encrypted; null where it leads nowhere. */
  readonly read = async (text: string): Promise<string | null> => {
    if (text.startsWith(handlePrefix)) return this.handles.read(text);
    if (!looksNested(text)) return text;
    const nested = readNestedToken(text);
    if (typeof nested === "string") return null;
    const privateKey = await this.keys.privateKey(nested.kid);
    return privateKey === null ? null : decryptToken(nested, privateKey);
  };
}
