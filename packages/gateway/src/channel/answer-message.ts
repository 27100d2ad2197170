// Promises an answer to what control asks of a node besides its snapshots: who it is, its log keys, its hop certificate, its records.
// Trusts the channel to be control's (mTLS). Specified in docs/formats/join.md "Channel".
import type { DownMessage, UpMessage } from "@sallyport/protocol/channel/messages.ts";
import { encodeBase64url } from "@sallyport/protocol/token/base64url.ts";
import type { TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import { hopKeyProofText } from "@sallyport/protocol/token/hop-token.ts";
import type { HopKey } from "../exchange/hop-key.ts";
import type { DataPlane } from "../idempotency/data-plane.ts";
import type { ObservedTable } from "../observe/observed-table.ts";
import type { GatewayOptions, OpenLogKeys } from "../ports.ts";
import { answerQuestion } from "../record/answer-question.ts";
import type { Recorder } from "../record/recorder.ts";

export interface AnswerPorts {
  readonly options: GatewayOptions;
  readonly recorder: Recorder;
  readonly dataPlane: DataPlane;
  readonly hopKey: HopKey;
  readonly observed: ObservedTable;
}

export function answerMessage(message: DownMessage, send: (message: UpMessage) => void, ports: AnswerPorts): void {
  const { hop, node, openLogKeys, logger, log, keepHopCertificate } = ports.options;
  switch (message.t) {
    case "hello":
      send({ t: "hop-key", jwk: { ...hop.jwk }, proof: proofOfHopKey(hop, node) });
      return;
    case "log-keys":
      try {
        useLogKeys(openLogKeys(message.keys), ports);
      } catch (cause) {
        logger.error({ err: String(cause) }, "log keys could not be opened: they are not sealed to this node");
      }
      return;
    case "hop-certificate":
      ports.hopKey.take(message);
      keepHopCertificate?.({ kid: message.kid, jws: message.jws });
      return;
    case "question":
      if (message.ask === "observed") {
        send(ports.observed.answer(message));
        return;
      }
      if (message.ask === "witness") {
        witness(message, send, ports.options);
        return;
      }
      answerQuestion(log, message).then(send, (cause) =>
        logger.warn({ err: String(cause) }, "a question about a crossing could not be answered"),
      );
      return;
  }
}

function useLogKeys(keys: OpenLogKeys, { recorder, dataPlane }: AnswerPorts): void {
  recorder.useKeys(keys);
  dataPlane.useKey(keys.dataKey);
}

/** Sends what the witness of this node says. */
export function witness(
  question: Extract<DownMessage, { t: "question"; ask: "witness" }>,
  send: (message: UpMessage) => void,
  { answerWitness, logger }: Pick<GatewayOptions, "answerWitness" | "logger">,
): void {
  answerWitness?.(question).then(
    (reply) => send({ t: "witnessed", id: question.id, ...reply }),
    // Nothing was cosigned then: control asks again.
    (cause) => logger.error({ err: String(cause) }, "control's log could not be witnessed"),
  );
}

function proofOfHopKey(hop: TokenSigner, node: string): string {
  return encodeBase64url(hop.sign(Buffer.from(hopKeyProofText(node, hop.kid))));
}
