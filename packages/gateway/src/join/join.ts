// Promises that one token makes one node, whose keys control has seen proven, and that only the pinned control is believed.
// Trusts the join token. Specified in docs/formats/join.md.
import { generateKeyPairSync, type KeyObject, X509Certificate } from "node:crypto";
import { accessSync, constants, mkdirSync } from "node:fs";
import { type JoinToken, parseJoinToken } from "@sallyport/protocol/join/join-token.ts";
import type { ChannelTransport } from "../channel/feed.ts";
import { parseTextMembers } from "./answer-members.ts";
import {
  JoinFault,
  type NodeIdentity,
  newNodeKeys,
  privatePem,
  proveKey,
  readIdentity,
  sealKeyText,
  spkiText,
  writeIdentity,
} from "./node-identity.ts";

export interface JoinPorts {
  readonly dataDirectory: string;
  /** A transport to control that believes the pinned key only. */
  transport(control: {
    readonly url: string;
    readonly pin: string;
  }): Pick<ChannelTransport, "post"> & { close(): Promise<void> };
  /** A directory joins again as a new node: puts aside what belongs to the former one (its log) before the new identity is written. */
  setAside(formerNode: string): void;
  /** Milliseconds since the epoch. */
  now(): number;
}

/** Does this directory need a join token: because it never joined, or because its certificate ended while it was away? Throws as readIdentity. */
export function needsToken(dataDirectory: string, now: number): boolean {
  const known = readIdentity(dataDirectory);
  return known === null || hasEnded(known, now);
}

function hasEnded(identity: NodeIdentity, now: number): boolean {
  return new X509Certificate(identity.certificate).validToDate.getTime() <= now;
}

const nodeId = /^[a-z][a-z0-9-]{0,126}$/;

/**
 * The identity this directory already has, or a new one made with `tokenText`. An identity whose certificate has ended cannot renew itself:
 * with a token of the same group the directory joins again as a new node; without one it goes on from its last good snapshot.
 * Throws JoinFault: `join-token-malformed`, `join-refused`, `join-unreachable`, `identity-unreadable`.
 */
export async function joinOnce(tokenText: string | null, ports: JoinPorts): Promise<NodeIdentity> {
  const known = readIdentity(ports.dataDirectory);
  const token = tokenText === null ? null : parseJoinToken(tokenText.trim());
  if (known !== null && (token === null || !hasEnded(known, ports.now()))) return known;
  if (token === null) {
    throw new JoinFault(
      "join-token-malformed",
      "This gateway has not joined yet and the join token is missing or damaged. Make one with: sallyport gateway token --group <group>, and pass its file: --join-file <file>",
    );
  }
  if (known !== null && (known.tenant !== token.tenant || known.group !== token.group)) {
    throw new JoinFault(
      "join-token-malformed",
      `This directory belongs to group ${known.group}, the join token to ${token.group}. Use a token of ${known.group}, or another data directory; the token was not used.`,
    );
  }
  assertWritable(ports.dataDirectory);
  const transport = ports.transport(token);
  try {
    const identity = await joinWith(token, transport);
    if (known !== null) ports.setAside(known.node);
    writeIdentity(ports.dataDirectory, identity);
    return identity;
  } finally {
    await transport.close();
  }
}

/** A token works once: a directory that cannot keep the identity must be found before it is spent. */
function assertWritable(dataDirectory: string): void {
  try {
    mkdirSync(dataDirectory, { recursive: true, mode: 0o700 });
    accessSync(dataDirectory, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new JoinFault(
      "identity-unreadable",
      `${dataDirectory} cannot be written, so the identity of this gateway could not be kept. Check its owner and mode; the join token was not used.`,
      error,
    );
  }
}

async function joinWith(token: JoinToken, transport: Pick<ChannelTransport, "post">): Promise<NodeIdentity> {
  const keys = newNodeKeys();
  const request = { secret: token.secret, spki: spkiText(keys.nodeKey), sealKey: sealKeyText(keys.sealKey) };
  const proof = proveKey(keys.nodeKey, `sallyport-join/v1\n${request.secret}\n${request.spki}\n${request.sealKey}`);
  const answer = await postJoin(transport, JSON.stringify({ v: 1, ...request, proof }));
  const { tenant, environment, region, group, url, pin, snapshotKey } = token;
  return {
    v: 1,
    ...parseAnswer(answer, keys.nodeKey),
    tenant,
    environment,
    region,
    group,
    url,
    pin,
    snapshotKey,
    nodeKey: privatePem(keys.nodeKey),
    sealKey: privatePem(keys.sealKey),
  };
}

/**
 * A new key pair and certificate for a node that has joined, asked for over the channel; the old ones stay good for control's
 * overlap, so a crash in between costs nothing. Throws what the transport throws, and JoinFault for an answer that is none.
 */
export async function renewNode(
  identity: NodeIdentity,
  dataDirectory: string,
  transport: Pick<ChannelTransport, "post">,
): Promise<NodeIdentity> {
  const nodeKey: KeyObject = generateKeyPairSync("ec", { namedCurve: "prime256v1" }).privateKey;
  const spki = spkiText(nodeKey);
  const body = JSON.stringify({ spki, proof: proveKey(nodeKey, `sallyport-renew/v1\n${spki}`) });
  const answer = await transport.post("/channel/v1/renew", body);
  const certificate = believed(() =>
    checkedCertificate(parseTextMembers(answer, ["certificate"]).certificate, nodeKey),
  );
  const renewed = { ...identity, certificate, nodeKey: privatePem(nodeKey) };
  writeIdentity(dataDirectory, renewed);
  return renewed;
}

async function postJoin(transport: Pick<ChannelTransport, "post">, body: string): Promise<Uint8Array> {
  try {
    return await transport.post("/join/v1", body);
  } catch (error) {
    if (error instanceof Error && "status" in error && error.status === 403) {
      throw new JoinFault(
        "join-refused",
        "Control refused the join token: it is unknown, was used before, or has expired. Make a new one: sallyport gateway token --group <group>",
        error,
      );
    }
    throw new JoinFault(
      "join-unreachable",
      "Control's channel listener could not be reached or is not the one the join token pins. Check the address in the token and that control runs.",
      error,
    );
  }
}

function parseAnswer(
  bytes: Uint8Array,
  nodeKey: KeyObject,
): Pick<NodeIdentity, "node" | "certificate" | "authority" | "epoch"> {
  return believed(() => {
    const { node, certificate, authority } = parseTextMembers(bytes, ["node", "certificate", "authority"]);
    const { epoch }: { epoch?: unknown } = JSON.parse(new TextDecoder().decode(bytes));
    if (typeof epoch !== "number" || !Number.isSafeInteger(epoch)) throw new Error("the answer has no epoch");
    if (!nodeId.test(node)) throw new Error("the node id is not an id");
    return { node, certificate: checkedCertificate(certificate, nodeKey), authority, epoch };
  });
}

function checkedCertificate(pem: string, key: KeyObject): string {
  if (!new X509Certificate(pem).checkPrivateKey(key)) throw new Error("the certificate is for another key");
  return pem;
}

function believed<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new JoinFault("join-unreachable", "Control's answer is not one of docs/formats/join.md, version 1.", error);
  }
}
