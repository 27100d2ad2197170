// Promises the answers behind the channel listener: who joins, what a node is sent, what becomes of what it sends.
// Trusts the listener, which has proven the node. Specified in docs/formats/join.md.
import type { KeyObject } from "node:crypto";
import { sha256 } from "@sallyport/kernel/log/log-crypto.ts";
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import { createRecipientSealer } from "@sallyport/kernel/seal/recipient.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { createTokenCrypto } from "@sallyport/kernel/token-crypto.ts";
import { parseCheckpointBody } from "@sallyport/protocol/audit/checkpoint.ts";
import { parseNote, parseVerifierKey } from "@sallyport/protocol/audit/note.ts";
import type { ArchiveAnswer } from "@sallyport/protocol/channel/archive.ts";
import type { DownMessage, UpMessage } from "@sallyport/protocol/channel/messages.ts";
import type { SealContext } from "@sallyport/protocol/seal/context.ts";
import { decodeBase64url } from "@sallyport/protocol/token/base64url.ts";
import type { TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import { hopKeyProofText, signHopKey } from "@sallyport/protocol/token/hop-token.ts";
import { type PublicJwk, parsePublicJwk, thumbprint } from "@sallyport/protocol/token/jwk.ts";
import type { AdminLog } from "../audit/admin-log.ts";
import type { Archive } from "../audit/archive/archive.ts";
import type { Shipment } from "../audit/archive/judge-records.ts";
import { judgeCheckpoint, type SentCheckpoint } from "../audit/judge-checkpoint.ts";
import type { Pseudonyms } from "../audit/pseudonyms.ts";
import type { CheckpointRefusalCode } from "../audit/store.ts";
import type { Witnessing } from "../audit/witnessing.ts";
import type { ControlCommands } from "../commands.ts";
import type { EnvironmentIdentity } from "../identity/environment-identity.ts";
import type { IssuanceRecorder } from "../identity/issuance-record.ts";
import type { PayloadKeyring } from "../payloads/payload-keys.ts";
import { type Authorities, namesOf } from "../pki/authorities.ts";
import type { EnvironmentInForce } from "../registry/estate-state.ts";
import type { RegisteredNode } from "../registry/gateway-commands.ts";
import type { ChannelPorts } from "./channel-listener.ts";
import type { Hub, NodeAddress } from "./hub.ts";
import {
  type JoiningPorts,
  join,
  type ListenerCertificate,
  listenerCertificate,
  nodeCertificateMs,
  renew,
} from "./joining.ts";

export interface ChannelServiceOptions {
  readonly tenant: string;
  readonly hub: Hub;
  readonly store: Pick<Store<ControlCommands>, "run">;
  readonly authorities: Authorities;
  readonly pseudonyms: Pseudonyms;
  readonly payloadKeys: Pick<PayloadKeyring, "publicKey">;
  /** What the data-plane stores of an environment hash and seal under, 32 bytes, made once. */
  readonly dataKey: (environment: string) => Promise<Uint8Array>;
  /** What leaves for a node is on record first. */
  readonly adminLog: Pick<AdminLog, "record">;
  /** Refusals of strangers and of nodes that are none any more: the first few of each network are leaves, the rest is counted. */
  readonly refusals: Pick<IssuanceRecorder, "refused">;
  readonly archive: Archive;
  /** Control's X25519 public key (raw) and its id: decision inputs are sealed to it. */
  readonly recipient: { readonly publicKey: Uint8Array; readonly id: string };
  readonly snapshotSigner: (group: string) => Promise<TokenSigner>;
  readonly identity: (environment: string) => EnvironmentIdentity | null;
  readonly environment: (name: string) => EnvironmentInForce | null;
  readonly epoch: () => number;
  readonly witnessing: Witnessing;
  readonly clock: Clock;
  readonly random: Random;
  readonly fault: (error: unknown) => void;
}

/** The previous certificate of a node after the first use of a new one. */
const certificateGraceMs = 5 * 60_000;
/** Thumbprints remembered; after that the first use of each is noticed once more, which changes nothing. */
const seenMax = 20_000;
/** Certificates of hop keys live a day and are sent again with every connection and every quarter of that. */
export const hopCertificateMs = 24 * 3600_000;

const nothingInForce = { kind: "unavailable", code: "nothing-in-force" } as const;

/** Facts of a record are bounded. */
const namesLengthMax = 1_000;
const loopbackHosts = ["localhost", "127.0.0.1", "::1"];

export class ChannelService {
  readonly #options: ChannelServiceOptions;
  readonly #crypto = createTokenCrypto();
  /** Thumbprints already seen in this run, so that the first use of a certificate is noticed once. */
  readonly #seen = new Set<string>();
  /** Last refusal of a snapshot by node. */
  readonly refusals = new Map<string, string>();

  constructor(options: ChannelServiceOptions) {
    this.#options = options;
  }

  async ports(): Promise<ChannelPorts> {
    const { store, clock, epoch, fault, refusals } = this.#options;
    const joining = await this.#joiningPorts();
    return {
      join: (request) => join(request, joining),
      renew: (address, request) => renew(address, request, joining),
      listenerCertificate: (address, request) => this.#listenerCertificate(address, request),
      nodeOf: (thumbprintText) => this.#nodeOf(thumbprintText),
      opening: (address, held) => this.#opening(address, held),
      sequences: (address) =>
        this.#options.identity(address.environment)?.sequences() ?? { keySeq: 0, revocationSeq: 0 },
      blob: (address, id) => store.run("readBlob", { tenant: address.tenant, group: address.group, id }),
      handle: async ({ environment }, digest) =>
        (await this.#options.identity(environment)?.forms.handles.open(digest)) ?? null,
      introspect: async ({ environment }, question) =>
        (await this.#options.identity(environment)?.introspections.ask(question)) ?? { trouble: "not-asked" },
      tokenKey: (address, kid) => this.#tokenKey(address, kid),
      payloadKey: (address, request) => this.#options.payloadKeys.publicKey(address, request),
      nextHopToken: async (address, request) =>
        (await this.#options.identity(address.environment)?.nextHops.give(address, request)) ?? nothingInForce,
      receive: (address, message) => this.receive(address, message),
      witness: this.#options.witnessing,
      refused: async (code, address) => void (await refusals.refused({ client: null, code, address })),
      archiveCheckpoint: (address, sent) => this.#archiveCheckpoint(address, sent),
      ship: (address, origin, shipment) => this.#ship(address, origin, shipment),
      epoch,
      now: () => clock.now(),
      fault,
    };
  }

  async #joiningPorts(): Promise<JoiningPorts> {
    const { tenant, store, authorities, random, epoch, clock } = this.#options;
    const ca = await authorities.authority(tenant, "sallyport", "channel");
    return {
      useToken: async (node) => store.run("useJoinToken", node),
      addThumbprint: async (node, thumbprintText, notAfter) => {
        const added = await store.run("addNodeCertificate", { node, thumbprint: thumbprintText, notAfter });
        if (!added) throw new Error("the node is not active any more");
      },
      certify: async (publicKey: KeyObject, address: NodeAddress, notAfterMs: number) => {
        const uri = `sallyport://${address.tenant}/${address.environment}/${address.group}/${address.node}`;
        const leaf = authorities.certify(ca, publicKey, { names: { uri }, usage: "client", notAfterMs });
        return { certificate: leaf.pem, thumbprint: leaf.x5t };
      },
      authority: ca.certificatePem,
      newNodeId: () => `gw-${Buffer.from(random.bytes(6)).toString("hex")}`,
      epoch,
      now: () => clock.now(),
    };
  }

  async #listenerCertificate(
    address: NodeAddress,
    request: { readonly spki: string; readonly proof: string },
  ): Promise<ListenerCertificate | null> {
    const { authorities, environment, clock } = this.#options;
    const ca = await authorities.authority(address.tenant, address.environment, "workloads");
    const region = (await this.#registered(address)).region;
    // The same listeners as in the node's snapshot: a certificate for another region's names would let it stand in for that region.
    const listeners = (environment(address.environment)?.config.listeners ?? []).filter(
      (one) => one.serves === "gateway" && (one.region === null || one.region === region),
    );
    // An estate that names no listener here is served on loopback (serve's default address).
    const hosts = listeners.length === 0 ? loopbackHosts : listeners.map(({ url }) => new URL(url).hostname);
    const notAfterMs = clock.now() + nodeCertificateMs;
    return listenerCertificate(address, request, async (publicKey) => {
      const leaf = authorities.certify(ca, publicKey, { names: namesOf(hosts), usage: "server", notAfterMs });
      const facts = { names: hosts.join(" ").slice(0, namesLengthMax), thumbprint: leaf.x5t, notAfter: notAfterMs };
      await this.#record(address, { action: "gateway.listener", object: `gateway/${address.node}`, facts });
      return { certificate: leaf.pem, authority: ca.certificatePem };
    });
  }

  async #nodeOf(thumbprintText: string): Promise<NodeAddress | null> {
    const { store } = this.#options;
    const node = await store.run("nodeByThumbprint", { thumbprint: thumbprintText });
    if (node === null) return null;
    if (!this.#seen.has(thumbprintText)) {
      if (this.#seen.size >= seenMax) this.#seen.clear();
      this.#seen.add(thumbprintText);
      await store.run("retireEarlierCertificates", { thumbprint: thumbprintText, graceMs: certificateGraceMs });
    }
    return { tenant: node.tenant, environment: node.environment, group: node.group, node: node.node };
  }

  async #opening(
    address: NodeAddress,
    held: { readonly keySeq: number; readonly revocationSeq: number },
  ): Promise<readonly DownMessage[]> {
    const { store } = this.#options;
    const identity = this.#options.identity(address.environment);
    await store.run("touchNode", { node: address.node });
    const messages = await this.#logKeys(address);
    if (identity === null) return messages;
    messages.push(identity.keysMessage(), await identity.revocationsSince(held.revocationSeq));
    const hop = await this.#hopCertificate(address, identity);
    if (hop !== null) messages.push(hop);
    const newest = await store.run("newestSnapshot", { tenant: address.tenant, group: address.group });
    if (newest !== null) messages.push({ t: "snapshot", signed: newest.signed });
    return messages;
  }

  async #registered(address: NodeAddress): Promise<RegisteredNode> {
    const nodes = await this.#options.store.run("listNodes", { tenant: address.tenant });
    const node = nodes.find((candidate) => candidate.node === address.node);
    if (node === undefined) throw new Error("a connected node is a registered one");
    return node;
  }

  async #record(
    { environment, node }: NodeAddress,
    act: Pick<Parameters<AdminLog["record"]>[0], "action" | "object" | "facts">,
  ): Promise<void> {
    await this.#options.adminLog.record({ environment, actor: `gateway:${node}`, ...act });
  }

  /** Empty where the record of it cannot be written: a node that has log keys goes on with those, one that has none waits. */
  async #logKeys(address: NodeAddress): Promise<DownMessage[]> {
    const { pseudonyms, recipient, random, clock, fault, dataKey } = this.#options;
    const node = await this.#registered(address);
    const { epoch, key } = await pseudonyms.key(address.environment);
    const act = { action: "gateway.log-keys", object: `gateway/${address.node}`, facts: { epoch } } as const;
    const isRecorded = await this.#record(address, act).then(
      () => true,
      (error: unknown) => {
        fault(error);
        return false;
      },
    );
    if (!isRecorded) return [];
    const sealer = createRecipientSealer({ recipient: Buffer.from(node.sealKey, "base64url"), random, clock });
    const { tenant, environment } = address;
    const place = { tenant, environment, node: address.node };
    const seal = (context: SealContext, secret: Uint8Array) =>
      Buffer.from(sealer.seal(context, secret)).toString("base64url");
    const pseudonymKeySealed = seal({ ...place, epoch, purpose: "log-keys" }, key);
    const dataKeySealed = seal({ ...place, purpose: "data-key" }, await dataKey(environment));
    sealer.forget();
    const keys = {
      epoch,
      pseudonymKeySealed,
      dataKeySealed,
      referenceRecipient: Buffer.from(recipient.publicKey).toString("base64url"),
      referenceKeyId: recipient.id,
    };
    return [{ t: "log-keys", keys }];
  }

  /** A decryption key of the node's environment, sealed to that node as its log keys are. */
  async #tokenKey(address: NodeAddress, kid: string): Promise<string | null> {
    const { random, clock, identity } = this.#options;
    const key = (await identity(address.environment)?.forms.keys.privateKey(kid)) ?? null;
    if (key === null) return null;
    const facts = { node: address.node };
    await this.#record(address, { action: "encryption-key.release", object: `encryption-key/${kid}`, facts });
    const recipient = Buffer.from((await this.#registered(address)).sealKey, "base64url");
    const sealer = createRecipientSealer({ recipient, random, clock });
    const { tenant, environment, node } = address;
    const sealed = sealer.seal({ tenant, environment, node, kid, purpose: "token-key" }, key);
    sealer.forget();
    return Buffer.from(sealed).toString("base64url");
  }

  /** What became of a message of a proven node; answers and acknowledgements are the hub's. */
  async receive(address: NodeAddress, message: UpMessage): Promise<void> {
    if (message.t === "ack") this.refusals.delete(address.node);
    if (message.t === "refused-snapshot")
      this.refusals.set(address.node, `${message.epoch}.${message.version}: ${message.why}`);
    if (message.t === "checkpoint") await this.#keepCheckpoint(address, message);
    if (message.t === "log-finding") await this.#options.witnessing.report(address, message);
    // Nobody waits for it: whatever is found comes down as a snapshot.
    if (message.t === "look-for-keys") this.#options.identity(address.environment)?.trusted.look(message.issuer);
    if (message.t !== "hop-key") return;
    const identity = this.#options.identity(address.environment);
    const key = this.#provenHopKey(address, message);
    if (identity === null || key === null || !identity.hopKeys.set(address.node, key)) {
      this.#options.fault(new Error(`the hop key of ${address.node} is not proven, or is another node's`));
      return;
    }
    await this.sendHopCertificate(address);
  }

  /** Keeps a checkpoint, or the evidence against it, and says why it was refused. */
  async #keepCheckpoint(
    address: NodeAddress,
    { origin, note, key }: SentCheckpoint,
  ): Promise<CheckpointRefusalCode | null> {
    const { store, fault } = this.#options;
    const { tenant, environment, node } = address;
    const sent = { tenant, environment, node, origin, note };
    const judged = judgeCheckpoint(address, { origin, note, key });
    const code =
      judged.kind === "refused" ? judged.code : await store.run("keepCheckpoint", { ...sent, logKey: judged.logKey });
    if (code === null) return null;
    if (judged.kind === "refused") await store.run("refuseCheckpoint", { ...sent, code });
    fault(new Error(`a checkpoint of ${node} was refused: ${code}`));
    return code;
  }

  /** What a node signed is kept as its checkpoints are, and then held against the records that are archived. */
  async #archiveCheckpoint(address: NodeAddress, sent: SentCheckpoint): Promise<ArchiveAnswer> {
    const { store, archive } = this.#options;
    const code = await this.#keepCheckpoint(address, sent);
    if (code !== null) return archive.refuse(address.node, code);
    const checkpoint = parseCheckpointBody(parseNote(sent.note)?.text ?? "");
    const publicKey = parseVerifierKey(sha256, sent.key)?.publicKey;
    if (checkpoint === null || publicKey === undefined) throw new Error("a kept checkpoint is one");
    const answer = await archive.checkpoint(address, { ...checkpoint, note: sent.note, publicKey });
    if (answer.t === "refused") {
      const { tenant, environment, node } = address;
      const { origin, note } = sent;
      await store.run("refuseCheckpoint", { tenant, environment, node, origin, note, code: answer.code });
    }
    return answer;
  }

  async #ship(address: NodeAddress, origin: string, shipment: Shipment): Promise<ArchiveAnswer> {
    const { store, archive } = this.#options;
    const answer = await archive.ship(address, origin, shipment);
    // No note says what was sent: that it was is the evidence.
    if (answer.t === "refused") {
      const { tenant, environment, node } = address;
      await store.run("refuseCheckpoint", { tenant, environment, node, origin, note: "", code: answer.code });
    }
    return answer;
  }

  /** Who publishes a key must hold it: otherwise one node could pass another's off as its own. */
  #provenHopKey(
    address: NodeAddress,
    message: Extract<UpMessage, { t: "hop-key" }>,
  ): { readonly kid: string; readonly jwk: PublicJwk } | null {
    const jwk = parsePublicJwk(message.jwk);
    const key = jwk === null || jwk.kty !== "EC" ? null : this.#crypto.importKey(jwk);
    const proof = decodeBase64url(message.proof);
    if (jwk === null || key === null || proof === null) return null;
    const kid = thumbprint(jwk, this.#crypto);
    return key.verify(Buffer.from(hopKeyProofText(address.node, kid)), proof) ? { kid, jwk } : null;
  }

  /** Certifies the node's hop key anew and sends it. */
  async sendHopCertificate(address: NodeAddress): Promise<void> {
    const identity = this.#options.identity(address.environment);
    const message = identity === null ? null : await this.#hopCertificate(address, identity);
    if (message !== null) this.#options.hub.send((one) => one.node === address.node, message);
  }

  async #hopCertificate(address: NodeAddress, identity: EnvironmentIdentity): Promise<DownMessage | null> {
    const key = identity.hopKeys.of(address.node);
    if (key === null) return null;
    const exp = Math.floor((this.#options.clock.now() + hopCertificateMs) / 1000);
    const signer = await this.#options.snapshotSigner(address.group);
    const jws = signHopKey({ iss: identity.issuer, sub: address.node, exp, jwk: key.jwk }, signer);
    return { t: "hop-certificate", kid: key.kid, jws };
  }
}
