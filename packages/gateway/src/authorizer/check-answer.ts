// Promises Envoy one answer to one question of its gRPC form: a yes or a no in a CheckResponse, and for a failure of ours no CheckResponse but an error, which
// is never a yes while `failure_mode_allow` is false. Trusts the writers of fields (listen/http2-answer.ts). Specified by Envoy's envoy/service/auth/v3
// (numbers of fields) and docs/authorizer.md (Envoy over gRPC).
import { type ProblemCode, problems } from "@sallyport/protocol/problem.ts";
import { grpcStatus } from "../grpc/status.ts";
import type { CallerAnswer } from "../listen/caller-answer.ts";
import { writeField, writeNumber } from "./protobuf.ts";

const numbers = {
  response: { status: 1, denied: 2, ok: 3 },
  status: { code: 1 },
  denied: { status: 1, headers: 2, body: 3 },
  httpStatus: { code: 1 },
  ok: { headers: 2, headersToRemove: 5, responseHeadersToAdd: 6 },
  option: { header: 1, append: 2, appendAction: 3 },
  header: { key: 1, value: 2 },
  boolValue: { value: 1 },
} as const;

/** HeaderValueOption.HeaderAppendAction */
const overwrite = 2;

/** Is it a failure of ours, whoever asks? What a caller did wrong is a no, also where no gateway could do it. */
export function isFailure(code: ProblemCode): boolean {
  const { status } = problems[code];
  return status >= 500 && status !== 501 && status !== 505;
}

export interface Allowed {
  /** Each: names and values alternating. */
  readonly toProvider: readonly string[];
  readonly toClient: readonly string[];
  /** Names that the provider must not get from the client. */
  readonly toRemove: readonly string[];
}

export function allowedCheck({ toProvider, toClient, toRemove }: Allowed): Buffer {
  const of = numbers.ok;
  const set = new Set(toProvider.filter((_, i) => i % 2 === 0));
  const ok = Buffer.concat([
    ...options(of.headers, toProvider),
    // What is set is set over whatever was there; removed, it might be removed after it was set.
    ...toRemove.filter((name) => !set.has(name)).map((name) => writeField(of.headersToRemove, name)),
    ...options(of.responseHeadersToAdd, toClient),
  ]);
  return Buffer.concat([statusField(grpcStatus.ok), writeField(numbers.response.ok, ok)]);
}

export interface Denied {
  /** Of HTTP, for the client. */
  readonly status: number;
  readonly headers: readonly string[];
  readonly body: string;
}

export function deniedCheck({ status, headers, body }: Denied): Buffer {
  const of = numbers.denied;
  const denied = Buffer.concat([
    writeField(of.status, writeNumber(numbers.httpStatus.code, status)),
    ...options(of.headers, headers),
    writeField(of.body, body),
  ]);
  const code = status === 401 ? grpcStatus.unauthenticated : grpcStatus.permissionDenied;
  return Buffer.concat([statusField(code), writeField(numbers.response.denied, denied)]);
}

/** One message, and that the call went well: what was decided stands in the message. `headers`: of an answer of ours; `connection` alone is for the call. */
export function writeCheck(response: CallerAnswer, message: Buffer, headers: readonly string[]): void {
  const at = headers.indexOf("connection");
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  response.expectTrailers();
  response.writeHead(200, ["content-type", "application/grpc", ...(at === -1 ? [] : headers.slice(at, at + 2))]);
  response.write(Buffer.concat([prefix, message]));
  response.endWith(["grpc-status", String(grpcStatus.ok)]);
}

/** About the hop between us and Envoy; the client's answer has its own. */
const ofTheHop: ReadonlySet<string> = new Set(["connection", "content-length"]);

/** The first field of a name takes the place of whatever was there, the next ones go beside it. */
function options(number: number, headers: readonly string[]): Buffer[] {
  const written: Buffer[] = [];
  const seen = new Set<string>();
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] ?? "";
    if (ofTheHop.has(name)) continue;
    const of = numbers.option;
    const pair = Buffer.concat([
      writeField(numbers.header.key, name),
      writeField(numbers.header.value, headers[i + 1] ?? ""),
    ]);
    // Said in both ways: by default old versions of Envoy overwrite, new ones append.
    const how = seen.has(name)
      ? [writeField(of.append, writeNumber(numbers.boolValue.value, 1))]
      : [writeField(of.append, ""), writeNumber(of.appendAction, overwrite)];
    seen.add(name);
    written.push(writeField(number, Buffer.concat([writeField(of.header, pair), ...how])));
  }
  return written;
}

const statusField = (code: number): Buffer =>
  writeField(numbers.response.status, code === grpcStatus.ok ? "" : writeNumber(numbers.status.code, code));
