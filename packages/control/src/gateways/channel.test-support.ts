// Promises a channel authority, nodes and a listener over real mTLS on loopback, with an in-memory registry that decides like the store's.
// Trusts nothing; for tests of both ends of the channel. Format: docs/formats/join.md.
import { createPublicKey, generateKeyPairSync, hash, type KeyObject, randomBytes, sign } from "node:crypto";
import { type RequestOptions, request } from "node:https";
import { certificateThumbprint, spkiHash } from "@sallyport/kernel/x509/certificate.ts";
import { createLocalCa, issueLeaf, type LocalCa } from "@sallyport/kernel/x509/issue.ts";
import type { CertificateNames } from "@sallyport/kernel/x509/names.ts";
import type { DownMessage, UpMessage } from "@sallyport/protocol/channel/messages.ts";
import { ChannelListener, type ChannelPorts } from "./channel-listener.ts";
import { Hub, type NodeAddress } from "./hub.ts";
import { type JoiningPorts, join, joinProofText, listenerCertificate, nodeCertificateMs, renew } from "./joining.ts";

const random = { bytes: (length: number) => new Uint8Array(randomBytes(length)) };
const day = 86_400_000;

export function testAuthority(use = "channel"): LocalCa {
  const now = Date.now();
  return createLocalCa({
    tenant: "main",
    environment: "sallyport",
    use,
    random,
    notBeforeMs: now - day,
    notAfterMs: now + day * 30,
  });
}

export interface TestCertificate {
  readonly cert: string;
  readonly key: string;
  readonly thumbprint: string;
  readonly pin: string;
}

export function testKey(): KeyObject {
  return generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
}

export function testCertificate(
  ca: LocalCa,
  names: CertificateNames,
  life: { readonly notBeforeMs?: number; readonly notAfterMs?: number } = {},
): TestCertificate {
  const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const publicKeySpki = pair.publicKey.export({ format: "der", type: "spki" });
  const { pem, der } = issueLeaf({
    ca,
    publicKeySpki,
    names,
    usage: "both",
    random,
    notBeforeMs: life.notBeforeMs ?? Date.now(),
    notAfterMs: life.notAfterMs ?? Date.now() + day,
  });
  return {
    cert: pem,
    key: pair.privateKey.export({ format: "pem", type: "pkcs8" }).toString(),
    thumbprint: certificateThumbprint(der),
    pin: spkiHash(publicKeySpki),
  };
}

/** What the store's commands decide, in memory: tokens used once, nodes by thumbprint. */
export class TestRegistry {
  readonly tokens = new Map<string, { readonly expiresAt: number; usedBy: string | null }>();
  readonly nodes = new Map<string, NodeAddress & { readonly state: "active" | "revoked" }>();
  readonly thumbprints = new Map<string, string>();
  #next = 0;

  newToken(expiresAt: number): string {
    const secret = randomBytes(32).toString("base64url");
    this.tokens.set(hash("sha256", secret, "hex"), { expiresAt, usedBy: null });
    return secret;
  }

  addNode(address: NodeAddress, thumbprint: string): void {
    this.nodes.set(address.node, { ...address, state: "active" });
    this.thumbprints.set(thumbprint, address.node);
  }

  revoke(node: string): void {
    const known = this.nodes.get(node);
    if (known !== undefined) this.nodes.set(node, { ...known, state: "revoked" });
  }

  nodeOf(thumbprint: string): NodeAddress | null {
    const node = this.nodes.get(this.thumbprints.get(thumbprint) ?? "");
    if (node?.state !== "active") return null;
    return { tenant: node.tenant, environment: node.environment, group: node.group, node: node.node };
  }

  joining(ca: LocalCa, now: () => number): JoiningPorts {
    return {
      useToken: async ({ secretHash, node }) => {
        const token = this.tokens.get(secretHash);
        if (token === undefined || token.usedBy !== null || token.expiresAt <= now()) return null;
        token.usedBy = node;
        this.nodes.set(node, { ...production, node, state: "active" });
        return { ...production, node, region: "eu" };
      },
      addThumbprint: async (node, thumbprint) => {
        this.thumbprints.set(thumbprint, node);
      },
      certify: async (publicKey, address, notAfterMs) => {
        const { pem, x5t } = issueLeaf({
          ca,
          publicKeySpki: publicKey.export({ format: "der", type: "spki" }),
          names: { uri: `sallyport://${address.tenant}/${address.environment}/${address.group}/${address.node}` },
          usage: "client",
          random,
          notBeforeMs: now(),
          notAfterMs,
        });
        return { certificate: pem, thumbprint: x5t };
      },
      authority: ca.certificatePem,
      newNodeId: () => `gw-${this.#next++}`,
      epoch: () => 1,
      now,
    };
  }
}

export const production = { tenant: "main", environment: "production", group: "production-eu" } as const;

export interface TestChannel {
  /** Code and address of what was refused and recorded. */
  readonly refusals: readonly string[];
  readonly hub: Hub;
  readonly registry: TestRegistry;
  readonly ca: LocalCa;
  readonly server: TestCertificate;
  readonly port: number;
  readonly url: string;
  /** Everything the port was given by nodes, in order. */
  readonly received: { readonly from: NodeAddress; readonly message: UpMessage }[];
  readonly faults: unknown[];
  /** An active node with a certificate of the authority. */
  addNode(node: string, group?: string): { readonly address: NodeAddress; readonly certificate: TestCertificate };
  close(): Promise<void>;
}

export interface TestChannelOptions {
  readonly ca?: LocalCa;
  readonly server?: TestCertificate;
  readonly registry?: TestRegistry;
  readonly port?: number;
  readonly heartbeatMs?: number;
  readonly now?: () => number;
  readonly ports?: Partial<ChannelPorts>;
}

export const blobOfProduction = "ab".repeat(32);
export const blobOfStaging = "cd".repeat(32);

/** A listener on loopback whose ports answer from a TestRegistry. */
export async function openTestChannel(options: TestChannelOptions = {}): Promise<TestChannel> {
  const ca = options.ca ?? testAuthority();
  const server = options.server ?? testCertificate(ca, { ip: ["127.0.0.1"] });
  const registry = options.registry ?? new TestRegistry();
  const now = options.now ?? Date.now;
  const hub = new Hub();
  const received: TestChannel["received"] = [];
  const faults: unknown[] = [];
  const refusals: string[] = [];
  const joining = registry.joining(ca, now);
  const listenerCa = testAuthority("workloads");
  const listener = new ChannelListener(
    hub,
    {
      archiveCheckpoint: async () => ({ t: "held", size: 0, signed: 0 }),
      ship: async () => ({ t: "held", size: 0, signed: 0 }),
      join: (wanted) => join(wanted, joining),
      renew: (address, wanted) => renew(address, wanted, joining),
      listenerCertificate: (address, wanted) =>
        listenerCertificate(address, wanted, async (publicKey) => {
          const { pem } = issueLeaf({
            ca: listenerCa,
            publicKeySpki: publicKey.export({ format: "der", type: "spki" }),
            names: { dns: ["gateway.test"] },
            usage: "server",
            random,
            notBeforeMs: now(),
            notAfterMs: now() + nodeCertificateMs,
          });
          return { certificate: pem, authority: listenerCa.certificatePem };
        }),
      nodeOf: async (thumbprint) => registry.nodeOf(thumbprint),
      opening: async () => [],
      handle: async () => null,
      tokenKey: async () => null,
      introspect: async () => ({ trouble: "not-asked" }),
      nextHopToken: async () => ({ kind: "unavailable", code: "nothing-in-force" }),
      payloadKey: async (address, { subject, days }) => ({
        key: `${address.node} ${subject}`,
        endsAt: days,
        freshMs: 1,
      }),
      sequences: () => ({ keySeq: 0, revocationSeq: 0 }),
      blob: async (address, id) => {
        const own = address.group === production.group ? blobOfProduction : blobOfStaging;
        return id === own ? Buffer.from(`blob of ${address.group}`) : null;
      },
      witness: {
        verifierKey: "witness.test+00000000+BAAA",
        named: () => null,
        add: async () => ({ status: 404, contentType: "text/plain; charset=utf-8", body: "" }),
        kept: async () => null,
      },
      refused: async (code, from) => void refusals.push(`${code} ${from}`),
      receive: async (from, message) => {
        received.push({ from, message });
      },
      epoch: () => 1,
      now,
      fault: (error) => faults.push(error),
      ...options.ports,
    },
    {
      host: "127.0.0.1",
      port: options.port ?? 0,
      tls: { cert: server.cert, key: server.key, authority: ca.certificatePem },
      heartbeatMs: options.heartbeatMs ?? 50,
    },
  );
  const port = await listener.start();
  return {
    hub,
    registry,
    ca,
    server,
    port,
    url: `https://127.0.0.1:${port}`,
    received,
    faults,
    refusals,
    addNode: (node, group = production.group) => {
      const address = { ...production, group, node };
      const certificate = testCertificate(ca, { uri: `sallyport://main/production/${group}/${node}` });
      registry.addNode(address, certificate.thumbprint);
      return { address, certificate };
    },
    close: () => listener.close(),
  };
}

/** A join request that proves `key` for the secret. */
export function joinRequest(secret: string, key: KeyObject = testKey()): Record<string, unknown> {
  const sealKey = String(generateKeyPairSync("x25519").publicKey.export({ format: "jwk" }).x);
  const request = { secret, spki: spkiOf(key), sealKey };
  return { v: 1, ...request, proof: proofOf(key, joinProofText(request)) };
}

export function spkiOf(key: KeyObject): string {
  return createPublicKey(key).export({ format: "der", type: "spki" }).toString("base64url");
}

export function proofOf(key: KeyObject, text: string): string {
  return sign("sha256", Buffer.from(text), { key, dsaEncoding: "ieee-p1363" }).toString("base64url");
}

export interface TestAnswer {
  readonly status: number;
  readonly body: string;
}

/** One request of a node, or of a stranger without a certificate. Rejects when the connection breaks. */
export function ask(
  channel: Pick<TestChannel, "port" | "ca">,
  path: string,
  options: { readonly client?: TestCertificate; readonly body?: string | Uint8Array } & Pick<
    RequestOptions,
    "headers" | "method"
  > = {},
): Promise<TestAnswer> {
  const { client, body } = options;
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        host: "127.0.0.1",
        port: channel.port,
        path,
        method: options.method ?? (body === undefined ? "GET" : "POST"),
        headers: options.headers ?? {},
        ca: channel.ca.certificatePem,
        agent: false,
        ...(client === undefined ? {} : { cert: client.cert, key: client.key }),
      },
      (answer) => {
        const chunks: Buffer[] = [];
        answer.on("data", (chunk: Buffer) => chunks.push(chunk));
        answer.on("error", reject);
        answer.on("end", () => resolve({ status: answer.statusCode ?? 0, body: Buffer.concat(chunks).toString() }));
      },
    );
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

/** The messages of one node's way down, as they come. */
export interface TestStream {
  readonly messages: readonly DownMessage[];
  /** The first message that fits, also one that came before. Rejects when the stream ends first. */
  next(fits: (message: DownMessage) => boolean): Promise<DownMessage>;
  readonly ended: Promise<void>;
  /** Stops reading without closing. */
  pause(): void;
  close(): void;
}

export function openDown(
  channel: Pick<TestChannel, "port" | "ca">,
  client: TestCertificate,
  query = "key-seq=0&revocation-seq=0",
): Promise<TestStream> {
  return new Promise((resolve, reject) => {
    const outgoing = request({
      host: "127.0.0.1",
      port: channel.port,
      path: `/channel/v1/down?${query}`,
      ca: channel.ca.certificatePem,
      agent: false,
      cert: client.cert,
      key: client.key,
    });
    outgoing.once("error", reject);
    outgoing.end();
    outgoing.once("response", (answer) => {
      if (answer.statusCode !== 200) {
        answer.resume();
        reject(new Error(`status ${answer.statusCode}`));
        return;
      }
      const messages: DownMessage[] = [];
      const waiters: (() => void)[] = [];
      let rest = "";
      let over = false;
      const ended = Promise.withResolvers<void>();
      const wake = () => {
        for (const waiter of waiters.splice(0)) waiter();
      };
      const end = () => {
        over = true;
        ended.resolve();
        wake();
      };
      answer.on("data", (chunk: Buffer) => {
        const lines = (rest + chunk.toString()).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) messages.push(JSON.parse(line));
        wake();
      });
      outgoing.on("error", end);
      answer.on("error", end);
      answer.once("close", end);
      resolve({
        messages,
        next: async (fits) => {
          for (;;) {
            const found = messages.find(fits);
            if (found !== undefined) return found;
            if (over) throw new Error("the stream ended before the message came");
            await new Promise<void>((woken) => waiters.push(woken));
          }
        },
        ended: ended.promise,
        pause: () => answer.pause(),
        close: () => outgoing.destroy(),
      });
    });
  });
}
