// Promises that a token encrypted to this environment is opened by keys asked for at control once each, and that nothing but our own form costs a question.
// Trusts kernel/nested-token.ts for the form. Specified in docs/identity/token-forms.md "Encrypted tokens".
import { decryptToken, type NestedToken, readNestedToken } from "@sallyport/kernel/nested-token.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { HandleAnswer, Handles } from "./handles.ts";

/** Keys kept in memory: one a day, and the one before. */
const keysMax = 8;

export interface NestedPorts {
  /** Asks by the key's thumbprint; the text of its answer is the key, sealed to this node. */
  readonly questions: Handles;
  /** Throws when it is not for this node. */
  openTokenKey(kid: string, sealed: string): Uint8Array;
}

export class Nested {
  readonly #ports: NestedPorts;
  readonly #keys = new Map<string, Uint8Array>();

  constructor(ports: NestedPorts) {
    this.#ports = ports;
  }

  /** The token inside a JWE. `source`: the network of who presented it. Never rejects. */
  open(text: string, source: string): Promise<HandleAnswer> | HandleAnswer {
    const nested = readNestedToken(text);
    if (typeof nested === "string")
      return deny("identify", nested, { why: "not a token encrypted as this environment encrypts them" });
    const key = this.#keys.get(nested.kid);
    if (key !== undefined) return opened(nested, key);
    const asked = this.#ports.questions.find(nested.kid, source);
    return asked instanceof Promise ? asked.then((answer) => this.#take(nested, answer)) : asked;
  }

  #take(nested: NestedToken, answer: HandleAnswer): HandleAnswer {
    if (answer.kind === "deny") return answer;
    try {
      const key = this.#ports.openTokenKey(nested.kid, answer.token);
      if (this.#keys.size >= keysMax) this.#keys.clear();
      this.#keys.set(nested.kid, key);
      return opened(nested, key);
    } catch {
      return deny("identify", "token-unresolved", { why: "the key of this token was not sealed to this node" });
    }
  }
}

function opened(nested: NestedToken, key: Uint8Array): HandleAnswer {
  const token = decryptToken(nested, key);
  if (token !== null) return { kind: "token", token };
  return deny("identify", "token-signature", { why: "the token was changed, or not encrypted to the key it names" });
}

export const keyUnknown = (): Deny =>
  deny("identify", "token-key-unknown", { why: "control has no such decryption key in this environment" });
