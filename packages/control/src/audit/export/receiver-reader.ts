// Promises what a settings file says of a receiver, with roots, certificates and credentials read from where they are; what is wrong is said at its
// place, never a credential in a message. Trusts the folder. Specified in docs/export.md "A sink" and docs/alerts.md "A notifier".
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { readPrivateFile } from "@sallyport/kernel/seal/key-file.ts";
import { errorAt, type Finding } from "../../registry/config/finding.ts";
import { type MapTree, spotOf } from "../../registry/config/yaml-tree.ts";
import type { HttpPlace } from "./http-sink.ts";

const credentialBytesMax = 65_536;

export interface TlsFiles {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

export class ReceiverReader {
  readonly #tree: MapTree;
  readonly #environment: Readonly<Record<string, string | undefined>>;
  readonly #findings: Finding[];

  constructor(
    tree: MapTree,
    { environment }: { readonly environment: Readonly<Record<string, string | undefined>> },
    findings: Finding[],
  ) {
    this.#tree = tree;
    this.#environment = environment;
    this.#findings = findings;
  }

  tls({ ca, cert, key }: TlsFiles): Pick<HttpPlace, "ca" | "identity"> {
    if ((cert === undefined) !== (key === undefined))
      this.say(["tls"], "`cert` and `key` come together", "give both, or neither");
    const roots = ca === undefined ? null : this.#pem(ca, ["tls", "ca"]);
    const identity =
      cert === undefined || key === undefined
        ? null
        : { cert: this.#pem(cert, ["tls", "cert"]), key: this.#private(key, ["tls", "key"]) };
    try {
      createSecureContext({ ...(roots === null ? {} : { ca: roots }), ...(identity ?? {}) });
    } catch {
      this.say(["tls"], "not certificates in PEM, or a key that is not the certificate's", "check the files");
    }
    return { ca: roots, identity };
  }

  optional(reference: string | undefined): string | null {
    return reference === undefined ? null : this.credential(reference);
  }

  /** One line of printable ASCII: nothing that could end a header field. */
  credential(reference: string): string {
    const value = this.#referenced(reference).replace(/\r?\n$/, "");
    if (!/^[\x21-\x7e](?:[\x20-\x7e]{0,8190}[\x21-\x7e])?$/.test(value) && value !== "")
      this.say(["credential"], "what it names is not one line of printable characters", "put the bare value there");
    return value;
  }

  webhookKey(reference: string): Uint8Array {
    const key = Buffer.from(
      /^whsec_([A-Za-z0-9+/]{32,88}={0,2})$/.exec(this.credential(reference))?.[1] ?? "",
      "base64",
    );
    if (key.length >= 24 && key.length <= 64) return new Uint8Array(key);
    this.say(
      ["credential"],
      "what it names is not the secret of a webhook",
      "put whsec_ and the base64 of 24 to 64 random bytes there",
    );
    return new Uint8Array(32);
  }

  say(at: readonly string[], message: string, fix: string): void {
    this.#findings.push(errorAt(spotOf(this.#tree, at), message, fix));
  }

  #pem(path: string, at: readonly string[]): string {
    try {
      const text = readFileSync(path, "utf8");
      if (text.includes("-----BEGIN CERTIFICATE-----")) return text;
    } catch {
      // said below
    }
    this.say(at, "no file with certificates in PEM", "check the path");
    return "";
  }

  #referenced(reference: string): string {
    if (reference.startsWith("file:")) return this.#private(reference.slice("file:".length), ["credential"]);
    const value = this.#environment[reference.slice("env:".length)];
    if (value !== undefined && value !== "") return value;
    this.say(["credential"], "the variable it names is not set", "set it in the environment of serve");
    return "";
  }

  #private(path: string, at: readonly string[]): string {
    try {
      const bytes = readPrivateFile(path, credentialBytesMax);
      if (bytes !== null && bytes.length > 0) return new TextDecoder().decode(bytes);
      this.say(at, "the file it names is not there, or empty", "check the path");
    } catch (error) {
      // Its words name path, mode and fix, never the content.
      this.say(
        at,
        error instanceof Error ? error.message : "the file it names cannot be read",
        "make it readable by its owner alone",
      );
    }
    return "";
  }
}
