// Promises Envoy's side of its gRPC form, as somebody else's library writes and reads it: everything told right unless a test says otherwise.
// Trusts @grpc/grpc-js and @grpc/proto-loader; the messages are those of ext-authz.proto. Specified in docs/authorizer.md.
import { fileURLToPath } from "node:url";
import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

export const checkMethod = "/envoy.service.auth.v3.Authorization/Check";

const definition = loadSync(fileURLToPath(new URL("ext-authz.proto", import.meta.url)), {
  keepCase: true,
  longs: String,
  defaults: false,
});
const service = definition["envoy.service.auth.v3.Authorization"];
if (service === undefined || "format" in service) throw new Error("no service in ext-authz.proto");
const check = service["Check"];
if (check === undefined) throw new Error("no method in ext-authz.proto");

export interface HeaderOption {
  readonly header: { readonly key: string; readonly value: string };
  /** Set, and empty: false. */
  readonly append: { readonly value?: boolean } | null;
  readonly append_action?: number;
}

/** Of CheckResponse, as the library reads it. */
export interface Checked {
  readonly status: { readonly code?: number };
  readonly ok_response?: {
    readonly headers?: readonly HeaderOption[];
    readonly headers_to_remove?: readonly string[];
    readonly response_headers_to_add?: readonly HeaderOption[];
  };
  readonly denied_response?: {
    readonly status: { readonly code: number };
    readonly headers: readonly HeaderOption[];
    readonly body: string;
  };
}

/** Of CheckRequest: what Envoy would tell, or a test in its place. */
export interface Question {
  readonly method?: string;
  readonly path?: string;
  readonly host?: string;
  readonly scheme?: string;
  /** The client's fields, beside those that stand for the request line; a list: the name twice. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  /** Beside the fields of HttpRequest, or in place of them. */
  readonly http?: object;
  readonly source?: object;
  /** As without encode_raw_headers. */
  readonly joined?: true;
}

let clients = 0;
/** A network of its own for each question, so that no denial of a stranger is counted with another's. */
const nextClient = (): string => {
  clients += 1;
  return `10.${(clients >> 8) & 255}.${clients & 255}.2`;
};

export function checkRequest(question: Question): object {
  const { method = "GET", path = "/billing/v1/invoices/1", host = "api.acme.example", scheme = "https" } = question;
  const fields: [string, string][] = [
    [":method", method],
    [":path", path],
    [":authority", host],
    [":scheme", scheme],
    ...Object.entries(question.headers ?? {}).flatMap(([name, value]) =>
      [value].flat().map((one): [string, string] => [name, one]),
    ),
  ];
  const told = question.joined
    ? { headers: joined(fields) }
    : { header_map: { headers: fields.map(([key, value]) => ({ key, raw_value: Buffer.from(value, "latin1") })) } };
  const http = { id: "1", method, path, host, scheme, size: -1, protocol: "HTTP/2", ...told, ...question.http };
  const source = question.source ?? { address: { socket_address: { address: nextClient(), port_value: 4711 } } };
  return {
    attributes: {
      source: { ...source, principal: "spiffe://somebody/else" },
      destination: { address: { socket_address: { address: "10.0.0.1", port_value: 443 } } },
      request: { time: { seconds: 1, nanos: 1 }, http },
      context_extensions: { virtual_host: "edge" },
    },
  };
}

function joined(fields: readonly (readonly [string, string])[]): Record<string, string> {
  const map: Record<string, string> = {};
  for (const [name, value] of fields) map[name] = map[name] === undefined ? value : `${map[name]},${value}`;
  return map;
}

export const encodeCheck = (question: Question): Buffer => check.requestSerialize(checkRequest(question));

export type CheckEnd = { readonly answer: Checked } | { readonly error: ServiceError };

export interface CheckClient {
  /** `message`: these octets in place of the message. */
  ask(question: Question | Buffer): Promise<CheckEnd>;
  close(): void;
}

export function openCheckClient(
  port: number,
  tls: { readonly ca: string; readonly cert?: string; readonly key?: string },
): CheckClient {
  const pair = tls.cert === undefined || tls.key === undefined ? [] : [Buffer.from(tls.key), Buffer.from(tls.cert)];
  const client = new Client(`127.0.0.1:${port}`, credentials.createSsl(Buffer.from(tls.ca), ...pair), {
    "grpc.ssl_target_name_override": "localhost",
  });
  const asOctets = (octets: Buffer): Buffer => octets;
  const asChecked = (octets: Buffer): Checked => readChecked(octets);
  return {
    ask: (question) =>
      new Promise((resolve) => {
        const octets = Buffer.isBuffer(question) ? question : encodeCheck(question);
        const deadline = Date.now() + 30_000;
        client.makeUnaryRequest(
          checkMethod,
          asOctets,
          asChecked,
          octets,
          new Metadata(),
          { deadline },
          (error, answer) => resolve(error === null ? { answer: answer ?? { status: { code: -1 } } } : { error }),
        );
      }),
    close: () => client.close(),
  };
}

/** A CheckResponse, read by the library. */
export const readChecked = (octets: Buffer): Checked => check.responseDeserialize(octets) as Checked;
