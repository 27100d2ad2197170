// Promises streams of pipelined requests, from a seed: mostly right ones, with what desynchronises servers in their heads, their framing and their content,
// and then bent at single octets. Trusts nothing. The published mutations are put in where they are at hand.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";

export interface Mutations {
  readonly te: readonly { readonly name: string; readonly header: string }[];
  readonly cl: readonly { readonly name: string; readonly header: string }[];
  readonly chunk: readonly { readonly name: string; readonly body: string }[];
  readonly line: readonly { readonly name: string; readonly line: string }[];
}

const folder = process.env["SALLYPORT_VECTORS"] ?? join(import.meta.dirname, "../../../../../shared/vectors");
const file = join(folder, "smuggling/mutations.json");

/** The corpus; null: it is not here. */
export const mutations: Mutations | null = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : null;

const host = "Host: localhost";
const json = '{"amount":5,"customer":"c"}';
/** What an attacker hides: a request of its own, whole or without its end. */
const hidden = `GET /billing/v1/regions/eu?hidden HTTP/1.1\r\n${host}\r\n\r\n`;
const hiddenHead = `POST /billing/v1/invoices HTTP/1.1\r\n${host}\r\nContent-Type: application/json\r\nContent-Length: 200\r\n\r\n`;
const scan = "PUT /billing/v1/invoices/1/scan";
const scanType = "Content-Type: application/pdf";
const length = (text: string): string => `Content-Length: ${Buffer.byteLength(text, "latin1")}`;
const chunked = (...pieces: readonly string[]): string =>
  `${pieces.map((piece) => `${piece.length.toString(16)}\r\n${piece}\r\n`).join("")}0\r\n\r\n`;

interface Framed {
  readonly framing: string;
  readonly content: string;
}

const rightFraming: readonly Framed[] = [
  { framing: length(json), content: json },
  { framing: "Transfer-Encoding: chunked", content: chunked(json) },
  { framing: "Transfer-Encoding: chunked", content: chunked(json.slice(0, 9), json.slice(9)) },
  { framing: "transfer-encoding:\tchunked ", content: `1b;a=b\r\n${json}\r\n000\r\nX-Sum: 1\r\n\r\n` },
];
const hostileFraming: readonly Framed[] = [
  // CL.TE, TE.CL, TE.TE, CL.0, 0.CL, and lengths that are not those of the content.
  { framing: `${length(chunked(json))}\r\nTransfer-Encoding: chunked`, content: `0\r\n\r\n${hidden}` },
  { framing: "Content-Length: 4\r\nTransfer-Encoding: chunked", content: `5c\r\n${hiddenHead}\r\n0\r\n\r\n` },
  { framing: "Transfer-Encoding: chunked\r\nTransfer-Encoding: x", content: chunked(hidden) },
  { framing: "Transfer-Encoding: identity\r\nContent-Length: 0", content: hidden },
  { framing: "Content-Length: 0", content: hidden },
  { framing: "", content: hidden },
  { framing: length(json), content: `${json}${hidden}` },
  { framing: `${length(json)}0`, content: json },
  { framing: length(json), content: json.slice(0, 9) },
  { framing: "Content-Length: 27\r\nContent-Length: 27", content: json },
  { framing: "Transfer-Encoding: chunked", content: `0\r\n\r\n${hidden}` },
  { framing: "Transfer-Encoding: chunked", content: `1b\n${json}\n0\n\n${hidden}` },
  { framing: "Transfer-Encoding: chunked", content: `1b;\n${json}\r\n0\r\n\r\n` },
  { framing: "Transfer-Encoding: chunked", content: `1b\r\n${json}X\r\n0\r\n\r\n` },
  { framing: "Transfer-Encoding: chunked", content: `100000000000000001b\r\n${json}\r\n0\r\n\r\n` },
  { framing: "Transfer-Encoding: chunked", content: `1b\r\n${json}\r\n0\r\nContent-Length: 9\r\n\r\n${hidden}` },
  { framing: "Connection: Content-Length\r\nContent-Length: 27", content: json },
  { framing: `Expect: 100-continue\r\n${length(hidden)}`, content: hidden },
  { framing: `Upgrade: h2c\r\nConnection: Upgrade\r\n${length(hidden)}`, content: hidden },
  {
    framing: `Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n${length(hidden)}`,
    content: hidden,
  },
];

const effects = [
  ["POST /billing/v1/invoices", "Content-Type: application/json"],
  [scan, scanType],
] as const;
const rightLines: readonly string[] = [
  "GET /billing/v1/invoices/1 HTTP/1.1",
  "GET /billing/v1/invoices/%41-~?a=b&c HTTP/1.1",
  "HEAD /billing/v1/invoices/2 HTTP/1.1",
  "GET /billing/v1/regions/eu HTTP/1.1",
  "\r\nGET /billing/v1/invoices/4 HTTP/1.1",
];
const hostileLines: readonly string[] = [
  "GET  /billing/v1/invoices/1 HTTP/1.1",
  "GET /billing/v1/invoices/1 HTTP/1.0",
  "GET /billing/v1/invoices/1",
  "GET /billing/v1/invoices/1?a HTTP/1.1 HTTP/1.1",
  "GET /billing/v1/../v1/invoices/1 HTTP/1.1",
  "GET /billing/v1/invoices/1%2f..%2f2 HTTP/1.1",
  "GET /billing//v1/invoices/1 HTTP/1.1",
  "GET /billing/v1/invoices/1;x=/../2 HTTP/1.1",
  "GET http://localhost/billing/v1/invoices/1 HTTP/1.1",
  "GET /billing/v1/invoices/1#/../2 HTTP/1.1",
  "OPTIONS * HTTP/1.1",
  "PRI * HTTP/2.0",
];
const rightFields: readonly string[] = [
  "X-Probe: 1",
  "x-probe:2",
  "X-Empty:",
  "Accept: */*\t",
  "Cookie: a=b; c=d",
  "Connection: keep-alive",
];
const hostileFields: readonly string[] = [
  ...["X-Probe : 1", "X_Probe: 1", "X-Probe: a\n b", "X-Probe\0: 1", " X-Probe: 1", "X-Probe: \xe9", ": 1", "X-Probe"],
  ...["Host: other", "Content-Length: 0", "Transfer-Encoding: chunked", "Connection: close, x-probe", "Expect: 200-ok"],
  ...[
    "Sallyport-Crossing: forged",
    "Sallyport-Identity: forged",
    "X-Probe: 1\r\n\tX-Probe: 2",
    "X-Probe: 1\nX-Probe: 2",
  ],
  "X-Probe: 1\rContent-Length: 5",
];

const octets = fc.constantFrom(
  ...[
    "\r\n",
    "\n",
    "\r",
    "\0",
    " ",
    "\t",
    "\x0b",
    "\x7f",
    "\xa0",
    "\xff",
    ":",
    ",",
    ";",
    '"',
    "0",
    "5",
    "x",
    "\r\n\r\n",
    "\r\n ",
  ],
  ...["0\r\n\r\n", "HTTP/1.1", "chunked", "Content-Length: 0\r\n", hidden],
);

const mostly = <T>(right: readonly T[], wrong: readonly T[], weight = 6): fc.Arbitrary<T> =>
  fc.oneof({ weight, arbitrary: fc.constantFrom(...right) }, { weight: 1, arbitrary: fc.constantFrom(...wrong) });

/** The corpus's request lines are about /v1/x; here that is an invoice. */
const placed = (line: string): string =>
  line.replace("LONG16K", "x".repeat(16_384)).replace("/v1", "/billing/v1").replace("/x", "/invoices/x");

function arbitrary(all: Mutations | null): fc.Arbitrary<string> {
  const lines = [...hostileLines, ...(all?.line ?? []).map(({ line }) => placed(line))];
  const framings = [
    ...hostileFraming,
    ...(all?.te ?? []).map(({ header }) => ({ framing: header, content: chunked(json) })),
    ...(all?.te ?? []).map(({ header }) => ({ framing: `${length(hidden)}\r\n${header}`, content: hidden })),
    ...(all?.cl ?? []).map(({ header }) => ({ framing: header, content: json.slice(0, 5) })),
    ...(all?.chunk ?? []).map(({ body }) => ({ framing: "Transfer-Encoding: chunked", content: body })),
  ];
  const fields = fc.array(mostly(rightFields, hostileFields, 12), { maxLength: 3 });
  const read = fc
    .tuple(mostly(rightLines, lines), fields)
    .map(([line, more]) => `${[line, host, ...more].join("\r\n")}\r\n\r\n`);
  const effect = fc
    .tuple(fc.constantFrom(...effects), fields, mostly(rightFraming, framings, 2))
    .map(([[line, type], more, { framing, content }]) =>
      [`${line} HTTP/1.1`, host, type, ...more, ...(framing === "" ? [] : [framing])]
        .join("\r\n")
        .concat("\r\n\r\n", content),
    );
  const bends = fc.oneof(
    { weight: 3, arbitrary: fc.constant([]) },
    {
      weight: 2,
      arbitrary: fc.array(fc.tuple(fc.nat({ max: 2_000 }), fc.nat({ max: 3 }), octets), { minLength: 1, maxLength: 2 }),
    },
  );
  return fc.tuple(fc.array(fc.oneof(read, effect), { minLength: 1, maxLength: 4 }), bends).map(([requests, bent]) =>
    bent.reduce((text, [at, cut, put]) => {
      const from = at % (text.length + 1);
      return text.slice(0, from) + put + text.slice(from + cut);
    }, requests.join("")),
  );
}

export interface NamedStream {
  readonly name: string;
  readonly stream: string;
}

/** Ends the connection once it is answered; what stands before it may have swallowed it. */
export const lastRequest = `GET /billing/v1/invoices/last HTTP/1.1\r\n${host}\r\nConnection: close\r\n\r\n`;

/** Each with the last request behind it. */
export const bentStreams = (options: { readonly seed: number; readonly count: number }): readonly NamedStream[] =>
  fc
    .sample(arbitrary(mutations), { seed: options.seed, numRuns: options.count })
    .map((stream, i) => ({ name: `${options.seed}/${i}`, stream: stream + lastRequest }));

/** Every mutation of the corpus at its place in a stream that is good otherwise: in front of it a read, and behind it one. */
export function corpusStreams({ te, cl, chunk, line }: Mutations): readonly NamedStream[] {
  const read = `${rightLines[0]}\r\n${host}\r\n\r\n`;
  // Content that is not looked into: what is well framed reaches the provider whatever it is.
  const effect = (framing: string, content: string): string =>
    `${scan} HTTP/1.1\r\n${host}\r\n${scanType}\r\n${framing}\r\n\r\n${content}`;
  const chunks = "Transfer-Encoding: chunked";
  const middles = [
    ...te.flatMap(({ name, header }) => [
      { name: `te ${name}`, text: effect(header, chunked(json)) },
      { name: `cl+te ${name}`, text: effect(`${length(hidden)}\r\n${header}`, hidden) },
      { name: `te+cl ${name}`, text: effect(`${header}\r\nContent-Length: 0`, chunked(json)) },
    ]),
    ...cl.flatMap(({ name, header }) => [
      { name: `cl ${name}`, text: effect(header, "hello") },
      { name: `cl ${name} before chunked`, text: effect(`${header}\r\n${chunks}`, chunked(json)) },
    ]),
    ...chunk.flatMap(({ name, body }) => [
      { name: `chunk ${name}`, text: effect(chunks, body) },
      { name: `chunk ${name} before a hidden request`, text: effect(chunks, `${body}${hidden}`) },
    ]),
    ...line.map(({ name, line: text }) => ({ name: `line ${name}`, text: `${placed(text)}\r\n${host}\r\n\r\n` })),
  ];
  return middles.map(({ name, text }) => ({ name, stream: read + text + lastRequest }));
}
