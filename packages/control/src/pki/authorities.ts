// Promises one local CA per environment and one for control's own listeners and gateways; keys sealed at rest, roots the same at every start.
// Trusts control's secrets and kernel/x509. Profiles: docs/formats/join.md, kernel/x509/issue.ts.
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import {
  createLocalCa,
  exportCaKey,
  type IssuedLeaf,
  issueLeaf,
  type LocalCa,
  loadLocalCa,
} from "@sallyport/kernel/x509/issue.ts";
import type { CertificateNames } from "@sallyport/kernel/x509/names.ts";
import type { ControlSecrets } from "../secrets/control-secrets.ts";

const caLifetimeMs = 10 * 365 * 86_400_000;
/** Listener certificates of control itself are made at each start. */
const listenerLifetimeMs = 90 * 86_400_000;

/** `channel`: signs gateways' client certificates; `listeners`: signs control's own listeners; `workloads`: an environment's. */
export type AuthorityUse = "channel" | "listeners" | "workloads";

export interface ServerTls {
  /** PEM, leaf then root. */
  readonly cert: string;
  readonly key: string;
  /** SHA-256 of the key's SubjectPublicKeyInfo, base64: what join tokens and operator keys pin. */
  readonly spki: Uint8Array;
}

export class Authorities {
  readonly #secrets: ControlSecrets;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #open = new Map<string, Promise<LocalCa>>();

  constructor(secrets: ControlSecrets, ports: { readonly clock: Clock; readonly random: Random }) {
    this.#secrets = secrets;
    this.#clock = ports.clock;
    this.#random = ports.random;
  }

  /** The CA of one use in one environment; made at its first use. */
  authority(tenant: string, environment: string, use: AuthorityUse): Promise<LocalCa> {
    const name = `ca-${environment}-${use}`;
    const key = `${tenant} ${name}`;
    let opening = this.#open.get(key);
    if (opening === undefined) {
      opening = this.#load(tenant, name, { environment, use });
      this.#open.set(key, opening);
    }
    return opening;
  }

  async #load(
    tenant: string,
    name: string,
    what: { readonly environment: string; readonly use: AuthorityUse },
  ): Promise<LocalCa> {
    const now = this.#clock.now();
    const bytes = await this.#secrets.secret(tenant, name, () => {
      const ca = createLocalCa({
        tenant,
        ...what,
        random: this.#random,
        notBeforeMs: now,
        notAfterMs: now + caLifetimeMs,
      });
      return Buffer.from(
        JSON.stringify({ certificate: ca.certificatePem, pkcs8: Buffer.from(exportCaKey(ca)).toString("base64") }),
      );
    });
    // Sealed and written above; the seal proves that nobody else wrote it.
    const { certificate, pkcs8 } = JSON.parse(Buffer.from(bytes).toString("utf8")) as {
      certificate: string;
      pkcs8: string;
    };
    return loadLocalCa(certificate, Buffer.from(pkcs8, "base64"));
  }

  /** A leaf for a key somebody else holds. Faults: IssueFault. */
  certify(
    ca: LocalCa,
    publicKey: KeyObject,
    leaf: { readonly names: CertificateNames; readonly usage: "client" | "server"; readonly notAfterMs: number },
  ): IssuedLeaf {
    const publicKeySpki = publicKey.export({ format: "der", type: "spki" });
    return issueLeaf({ ca, publicKeySpki, ...leaf, notBeforeMs: this.#clock.now(), random: this.#random });
  }

  /**
   * Key and certificate of one of control's listeners. The key is kept (sealed) and the same at every start, because join tokens and
   * operator key files pin it; the certificate is new.
   */
  async listener(tenant: string, name: string, hosts: readonly string[]): Promise<ServerTls> {
    const pkcs8 = await this.#secrets.secret(tenant, `listener-${name}`, () => {
      const { privateKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
      return privateKey.export({ format: "der", type: "pkcs8" });
    });
    const privateKey = createPrivateKey({ key: Buffer.from(pkcs8), format: "der", type: "pkcs8" });
    const publicKey = createPublicKey(privateKey);
    const ca = await this.authority(tenant, "sallyport", "listeners");
    const leaf = this.certify(ca, publicKey, {
      names: namesOf(hosts),
      usage: "server",
      notAfterMs: this.#clock.now() + listenerLifetimeMs,
    });
    return {
      cert: leaf.pem + ca.certificatePem,
      key: String(privateKey.export({ format: "pem", type: "pkcs8" })),
      spki: publicKey.export({ format: "der", type: "spki" }),
    };
  }
}

/** Host names and addresses of origins, each once, as certificate names. */
export function namesOf(hosts: readonly string[]): CertificateNames {
  const unique = [...new Set(hosts.map((host) => host.replace(/^\[|\]$/g, "").toLowerCase()))];
  const isAddress = (host: string) => host.includes(":") || /^[\d.]+$/.test(host);
  return { dns: unique.filter((host) => !isAddress(host)), ip: unique.filter(isAddress) };
}
