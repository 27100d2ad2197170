// Promises C2SP tlog-witness to proven nodes over the channel, each for its own log. Trusts the listener, which has proven the node.
// Specified in docs/formats/join.md "Witnesses".
import type { IncomingMessage, ServerResponse } from "node:http";
import type { OutsideWitness } from "@sallyport/kernel/witness/http-witness.ts";
import type { WitnessAnswer } from "@sallyport/kernel/witness/witness.ts";
import type { NodeAddress } from "./hub.ts";
import { decodeUtf8, readBody } from "./read-body.ts";

export interface ChannelWitness {
  /** Verifier key (C2SP, type 0x04). */
  readonly verifierKey: string;
  /** Witnesses outside that the estate names for gateways' logs too; null: not read yet. */
  named(): readonly OutsideWitness[] | null;
  /** Answers an `add-checkpoint` request of a node. */
  add(address: NodeAddress, body: string): Promise<WitnessAnswer>;
  /** The checkpoint cosigned last of one of the node's origins, by the origin's hash (64 hexadecimal digits). */
  kept(address: NodeAddress, hash: string): Promise<string | null>;
}

export const witnessPath = "/channel/v1/witness";
const bodyBytesMax = 524_288;
const plain = "text/plain; charset=utf-8";

/** Answers a request below `witnessPath`. */
export async function serveWitness(
  witness: ChannelWitness,
  address: NodeAddress,
  {
    request,
    response,
    route,
  }: { readonly request: IncomingMessage; readonly response: ServerResponse; readonly route: string },
): Promise<void> {
  const send = ({
    status,
    contentType,
    body,
  }: {
    readonly status: number;
    readonly contentType: string;
    readonly body: string;
  }) => {
    response.writeHead(status, { "content-type": contentType, "cache-control": "no-store" }).end(body);
  };
  if (route === `GET ${witnessPath}`) {
    const outside = witness.named();
    const said = { key: witness.verifierKey, ...(outside === null ? {} : { outside }) };
    return send({ status: 200, contentType: "application/json", body: JSON.stringify(said) });
  }
  const hash = /^GET \/channel\/v1\/witness\/([0-9a-f]{64})\/checkpoint$/.exec(route)?.[1];
  if (hash !== undefined) {
    const note = await witness.kept(address, hash);
    return send({ status: note === null ? 404 : 200, contentType: plain, body: note ?? "" });
  }
  if (route !== `POST ${witnessPath}/add-checkpoint`) return send({ status: 404, contentType: plain, body: "" });
  const body = await readBody(request, bodyBytesMax);
  const text = body.kind === "whole" ? decodeUtf8(body.bytes) : null;
  if (text !== null) return send(await witness.add(address, text));
  if (body.kind !== "gone") send({ status: body.kind === "too-large" ? 413 : 400, contentType: plain, body: "" });
}
