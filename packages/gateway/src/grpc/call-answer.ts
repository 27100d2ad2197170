// Promises that an answer which is no gRPC, or has a message over its bound, is passed on as what it is: an answer cut short. Trusts the answer it
// hands everything else to. Specified in the gRPC protocol over HTTP/2 (Responses) and docs/grpc.md.
import { DialFault } from "@sallyport/kernel/dial/dial-fault.ts";
import type { UpstreamCall, UpstreamHandler } from "@sallyport/kernel/dial/upstream-port.ts";
import { responseHeadersDownstream } from "../forward/header-hygiene.ts";
import type { UpstreamAnswer } from "../forward/upstream-answer.ts";
import { answerMessageBytesMax, MessageMeter } from "./messages.ts";
import { isGrpcType } from "./status.ts";

export class CallAnswer implements UpstreamHandler {
  readonly #answer: UpstreamAnswer;
  readonly #messages = new MessageMeter(answerMessageBytesMax);
  #call: UpstreamCall | null = null;

  constructor(answer: UpstreamAnswer) {
    this.#answer = answer;
  }

  sent(call: UpstreamCall): void {
    this.#call = call;
    this.#answer.sent(call);
  }

  onContentSent(): void {
    // Messages are bounded one by one, where they come in.
  }

  onHead(status: number, fields: readonly string[]): void {
    const at = fields.indexOf("content-type");
    const type = at % 2 === 0 ? (fields[at + 1]?.split(";")[0]?.trim().toLowerCase() ?? null) : null;
    if (status !== 200 || !isGrpcType(type)) this.#end(`the answer is no gRPC (status ${status})`);
    else this.#answer.onHead(status, fields);
  }

  onContent(piece: Buffer): void {
    const fault = this.#messages.read(piece);
    if (fault === null) this.#answer.onContent(piece);
    else this.#end(`a message of the answer is ${fault}`);
  }

  onTrailers(fields: readonly string[]): void {
    const judged = responseHeadersDownstream(fields);
    // What nobody may say in our name does not become true behind the content.
    if (judged.ok) this.#answer.trailers = judged.headers;
  }

  onEnd(): void {
    if (this.#messages.isBetween) this.#answer.onEnd();
    else this.#answer.onFault(new DialFault("protocol", "the answer ends inside a message"));
  }

  onFault(fault: DialFault): void {
    this.#answer.onFault(fault);
  }

  #end(why: string): void {
    this.#call?.abort();
    this.#answer.onFault(new DialFault("protocol", why));
  }
}
