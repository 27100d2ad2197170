// Promises requests of HTTP/2, from a seed, with what becomes framing, a second request or another field when it is written down as HTTP/1.1 (H2.CL, H2.TE,
// line ends in names and values, pseudo-header fields), beside right ones. Trusts nothing.
import fc from "fast-check";
import type { Fields } from "./raw-http2.ts";

export interface BentRequest {
  readonly fields: Fields;
  /** Pieces of its content; null: its head ends it. */
  readonly content: readonly string[] | null;
  readonly trailers: Fields | null;
}

export interface BentConnection {
  readonly name: string;
  readonly requests: readonly BentRequest[];
}

const json = '{"amount":5,"customer":"c"}';
const hidden = "GET /billing/v1/regions/eu?hidden HTTP/1.1\r\nhost: localhost\r\n\r\n";

const head = (method: string, path: string): Fields => [
  [":method", method],
  [":scheme", "https"],
  [":path", path],
  [":authority", "localhost"],
];
const read = head("GET", "/billing/v1/invoices/1");
const create: Fields = [...head("POST", "/billing/v1/invoices"), ["content-type", "application/json"]];
const scan: Fields = [...head("PUT", "/billing/v1/invoices/1/scan"), ["content-type", "application/pdf"]];

const bare = (fields: Fields): BentRequest => ({ fields, content: null, trailers: null });
const right: readonly BentRequest[] = [
  bare(read),
  bare(head("HEAD", "/billing/v1/invoices/2?a=b")),
  bare([...read, ["cookie", "a=b"], ["cookie", "c=d"], ["x-probe", "1"]]),
  { fields: create, content: [json], trailers: null },
  { fields: [...create, ["content-length", "27"]], content: [json.slice(0, 9), json.slice(9)], trailers: null },
  { fields: scan, content: [hidden], trailers: null },
  { fields: scan, content: ["0\r\n\r\n", hidden], trailers: [["x-sum", "1"]] },
];

const hostileFields: Fields = [
  ["transfer-encoding", "chunked"],
  ["content-length", "0"],
  ["content-length", "5"],
  ["content-length", "100"],
  ["content-length", "27, 27"],
  ["connection", "content-length"],
  ["host", "localhost"],
  ["host", "other"],
  ["te", "trailers"],
  ["upgrade", "h2c"],
  ["expect", "100-continue"],
  ["x-probe", "a\r\ntransfer-encoding: chunked"],
  ["x-probe", `a\r\n\r\n${hidden}`],
  ["x-probe", "a\nb"],
  ["x-probe", "a\0b"],
  ["x-probe", " a"],
  ["x-probe: a\r\ntransfer-encoding", "chunked"],
  ["transfer-encoding:chunked\r\nx-probe", "a"],
  ["x_probe", "1"],
  ["X-Probe", "1"],
  ["", "1"],
  [":path", "/billing/v1/regions/eu"],
  [":method", "PUT"],
  [":authority", "other"],
  ["sallyport-crossing", "forged"],
];
const hostilePaths: readonly string[] = [
  `/billing/v1/invoices/1 HTTP/1.1\r\nhost: localhost\r\n\r\n${hidden}`,
  "/billing/v1/invoices/1 HTTP/1.1\r\ntransfer-encoding: chunked\r\nx:",
  "billing/v1/invoices/1",
  "https://localhost/billing/v1/invoices/1",
  "//localhost/billing/v1/invoices/1",
  "/billing/v1/invoices/../regions/eu",
  "/billing/v1/invoices/1#a",
  "",
  "*",
];
const hostileMethods: readonly string[] = [`GET /billing/v1/regions/eu HTTP/1.1\r\nx: `, "GET ", "get", "PRI"];
const hostileContents: readonly (readonly string[] | null)[] = [
  null,
  [""],
  [hidden],
  [json, hidden],
  [`0\r\n\r\n${hidden}`],
];
const hostileTrailers: readonly Fields[] = [
  [["content-length", "5"]],
  [["transfer-encoding", "chunked"]],
  [[":path", "/billing/v1/regions/eu"]],
  [["x-a", `b\r\n\r\n${hidden}`]],
];

const replaced = ({ fields, ...rest }: BentRequest, name: string, value: string): BentRequest => ({
  ...rest,
  fields: fields.map((field) => (field[0] === name ? ([name, value] as const) : field)),
});

type Bend = (request: BentRequest) => BentRequest;
const bend: fc.Arbitrary<Bend> = fc.oneof(
  fc.tuple(fc.constantFrom(...hostileFields), fc.nat({ max: 6 })).map(
    ([field, at]): Bend =>
      (request) => ({ ...request, fields: request.fields.toSpliced(at, 0, field) }),
  ),
  fc.constantFrom(...hostilePaths).map(
    (path): Bend =>
      (request) =>
        replaced(request, ":path", path),
  ),
  fc.constantFrom(...hostileMethods).map(
    (method): Bend =>
      (request) =>
        replaced(request, ":method", method),
  ),
  fc.constantFrom(...hostileContents).map(
    (content): Bend =>
      (request) => ({ ...request, content, trailers: null }),
  ),
  fc.constantFrom(...hostileTrailers).map(
    (trailers): Bend =>
      (request) => ({ ...request, content: request.content ?? [json], trailers }),
  ),
);

const request = fc.constantFrom(...right);
const bent = fc.tuple(request, bend).map(([one, change]) => change(one));

/** Of each connection the first and the last request are right. */
export const bentConnections = (options: {
  readonly seed: number;
  readonly count: number;
}): readonly BentConnection[] =>
  fc
    .sample(fc.tuple(request, fc.array(fc.oneof(bent, request), { minLength: 1, maxLength: 4 }), request), {
      seed: options.seed,
      numRuns: options.count,
    })
    .map(([first, middle, last], i) => ({ name: `${options.seed}/${i}`, requests: [first, ...middle, last] }));
