// Promises that one token makes one node, whose keys control has seen proven, and that only the pinned control is believed.
// Trusts the join token. Specified in docs/formats/join.md.
import type { KeyObject } from "node:crypto";
import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import { parseJoinToken } from "@sallyport/protocol/join/join-token.ts";
import type { ChannelTransport } from "../channel/feed.ts";
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
  /** A transport to control: pinned, with the client certificate when one is given. */
  transport(
    control: { readonly url: string; readonly pin: string },
    client?: { readonly cert: string; readonly key: string },
  ): ChannelTransport;
}

/**
 * The identity this directory already has, or a new one made with `tokenText`.
 * Throws JoinFault: `join-token-malformed`, `join-refused`, `join-unreachable`, `identity-unreadable`.
 */
export async function joinOnce(tokenText: string | null, ports: JoinPorts): Promise<NodeIdentity> {
  const known = readIdentity(ports.dataDirectory);
  if (known !== null) return known;
  const token = tokenText === null ? null : parseJoinToken(tokenText.trim());
  if (token === null) {
    throw new JoinFault(
      "join-token-malformed",
      "This gateway has not joined yet and the join token is missing or damaged. Make one with: sallyport gateway token --group <group>, and pass its file: --join-file <file>",
    );
  }
  const keys = newNodeKeys();
  const request = { secret: token.secret, spki: spkiText(keys.nodeKey), sealKey: sealKeyText(keys.sealKey) };
  const proof = proveKey(keys.nodeKey, `sallyport-join/v1\n${request.secret}\n${request.spki}\n${request.sealKey}`);
  const answer = parseAnswer(await postJoin(ports.transport(token), JSON.stringify({ v: 1, ...request, proof })));
  const { tenant, environment, region, group, url, pin, snapshotKey } = token;
  const identity: NodeIdentity = {
    v: 1,
    ...answer,
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
  writeIdentity(ports.dataDirectory, identity);
  return identity;
}

/** A new key pair and certificate for a node that has joined; the old ones stay good for control's overlap. */
export async function renewNode(identity: NodeIdentity, ports: JoinPorts): Promise<NodeIdentity> {
  const nodeKey: KeyObject = generateKeyPairSync("ec", { namedCurve: "prime256v1" }).privateKey;
  const spki = spkiText(nodeKey);
  const transport = ports.transport(identity, {
    cert: identity.certificate,
    key: privatePem(createPrivateKey(identity.nodeKey)),
  });
  const body = JSON.stringify({ spki, proof: proveKey(nodeKey, `sallyport-renew/v1\n${spki}`) });
  const { certificate } = parseMembers(await transport.post("/channel/v1/renew", body), ["certificate"]);
  const renewed = { ...identity, certificate, nodeKey: privatePem(nodeKey) };
  writeIdentity(ports.dataDirectory, renewed);
  return renewed;
}

async function postJoin(transport: ChannelTransport, body: string): Promise<Uint8Array> {
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

function parseAnswer(bytes: Uint8Array): { node: string; certificate: string; authority: string; epoch: number } {
  const { node, certificate, authority } = parseMembers(bytes, ["node", "certificate", "authority"]);
  const epoch: unknown = JSON.parse(new TextDecoder().decode(bytes)).epoch;
  if (typeof epoch !== "number" || !Number.isSafeInteger(epoch))
    throw new JoinFault("join-unreachable", "Control's answer is not a join answer of version 1.");
  return { node, certificate, authority, epoch };
}

function parseMembers<const K extends string>(bytes: Uint8Array, names: readonly K[]): Record<K, string> {
  const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
  const members = Object.entries(typeof value === "object" && value !== null ? value : {}).filter(
    ([, member]) => typeof member === "string",
  );
  const found = Object.fromEntries(members);
  for (const name of names) {
    if (!(name in found))
      throw new JoinFault("join-unreachable", "Control's answer is not a join answer of version 1.");
  }
  // Every asked-for member was just found to be a string.
  return found as Record<K, string>;
}
