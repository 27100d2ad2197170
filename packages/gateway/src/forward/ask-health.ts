// Promises one question to one endpoint how it is, over HTTP or gRPC, without identity, within its time, and one answer. Trusts nothing of what is said but a plain
// yes. Specified in docs/resilience.md "Health checks"; the gRPC health checking protocol (grpc/doc/health-checking.md).
import type { UpstreamHandler, UpstreamPool, UpstreamRequest } from "@sallyport/kernel/dial/upstream-port.ts";
import { writeField } from "../authorizer/protobuf.ts";
import type { HealthRules } from "./health.ts";

const checkPath = "/grpc.health.v1.Health/Check";
const prefixBytes = 5;
/** A message without compression that begins with field 1, the number 1: SERVING. */
const servingType = [0x08, 1] as const;
const answerBytesMax = 1_024;

/** `told` is called once: 200 to 299, or SERVING, is well; everything else, and silence, is not. */
export function askHealth(
  pool: Pick<UpstreamPool, "send">,
  { rules, basePath }: { readonly rules: HealthRules; readonly basePath: string },
  told: (isWell: boolean) => void,
): void {
  let isOver = false;
  let status = 0;
  let grpcStatus = "";
  const pieces: Buffer[] = [];
  let length = 0;
  const end = (isWell: boolean): void => {
    if (isOver) return;
    isOver = true;
    clearTimeout(timer);
    told(isWell);
  };
  const isWell = (): boolean =>
    rules.grpc === undefined
      ? status >= 200 && status < 300
      : status === 200 && grpcStatus === "0" && isServing(Buffer.concat(pieces));
  const handler: UpstreamHandler = {
    onContentSent() {},
    onHead(said) {
      status = said;
    },
    onContent(piece) {
      length += piece.length;
      if (rules.grpc !== undefined && length <= answerBytesMax) pieces.push(piece);
    },
    onTrailers(fields) {
      grpcStatus = fields[fields.indexOf("grpc-status") + 1] ?? "";
    },
    onEnd: () => end(isWell()),
    onFault: () => end(false),
  };
  const request = rules.grpc === undefined ? getOf(basePath + rules.path) : questionAbout(rules.grpc, basePath);
  const call = pool.send(request, handler);
  const timer = setTimeout(() => {
    // Behind what has arrived: a gateway that stood still has no sick provider.
    setImmediate(() => {
      call.abort();
      end(false);
    });
  }, rules.timeoutMs);
  timer.unref();
}

const agent = ["user-agent", "sallyport-health"] as const;

function getOf(path: string): UpstreamRequest {
  return { method: "GET", path, headers: [...agent, "accept", "*/*"], content: null };
}

/** `HealthCheckRequest`: field 1, the name of the service. */
function questionAbout(service: string, basePath: string): UpstreamRequest {
  const message = service === "" ? Buffer.alloc(0) : writeField(1, service);
  const prefix = Buffer.alloc(prefixBytes);
  prefix.writeUInt32BE(message.length, 1);
  const headers = [...agent, "content-type", "application/grpc"];
  return { method: "POST", path: basePath + checkPath, headers, content: Buffer.concat([prefix, message]) };
}

function isServing(answer: Buffer): boolean {
  const [compressed] = answer;
  const isWhole = answer.length > prefixBytes && answer.readUInt32BE(1) === answer.length - prefixBytes;
  return isWhole && compressed === 0 && servingType.every((octet, i) => answer[prefixBytes + i] === octet);
}
