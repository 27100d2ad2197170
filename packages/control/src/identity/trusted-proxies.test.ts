import assert from "node:assert/strict";
import { request } from "node:https";
import { test } from "node:test";
import {
  decideSource,
  type ForwardingField,
  hopsMax,
  noProxies,
  ProxyNetworkFault,
  plainAddress,
  type TrustedProxies,
  trustedProxies,
} from "@sallyport/kernel/trusted-proxies.ts";
import { testCertificate } from "./certificates.test-support.ts";
import { headerCountMax, listenIdentity, type ServedIssuer } from "./identity-listener.ts";
import { addressOf, certificateOf } from "./source-address.ts";

const networks = ["10.0.0.0/8", "192.0.2.7", "fd00:1::/64"];
const proxies = trustedProxies(networks, "x-forwarded-for");
const rfc7239 = trustedProxies(networks, "forwarded");
const client = "203.0.113.9";

const cases: readonly (readonly [string, string, readonly string[], string])[] = [
  ["the hop a trusted proxy saw counts", "10.0.0.1", [client], client],
  ["a single trusted address is that address alone", "192.0.2.7", [client], client],
  ["attack: a forged field from a peer nobody trusts", "192.0.2.8", ["198.51.100.1"], "192.0.2.8"],
  ["attack: a hop forged before the trusted proxy's own", "10.0.0.1", [`198.51.100.1, ${client}`], client],
  ["attack: a forged trusted hop before the client's own address", "10.0.0.1", [`10.9.9.9, ${client}`], client],
  ["attack: a line of one's own before the proxy's line", "10.0.0.1", ["198.51.100.1", client], client],
  ["attack: a thousand hops", "10.0.0.1", [`${"10.0.0.2, ".repeat(1_000)}${client}`], client],
  [
    "attack: a loop of trusted hops",
    "10.0.0.1",
    [`${"10.0.0.2, ".repeat(hopsMax)}${client}`.replace(client, "10.3.3.3")],
    "10.0.0.1",
  ],
  ["two trusted proxies in a row", "10.0.0.1", [`${client}, 10.0.0.2`], client],
  ["everybody on the way is trusted: the furthest", "10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"],
  ["a trusted proxy of IPv6", "fd00:1::5", ["2001:db8::1"], "2001:db8::1"],
  ["a neighbour of that network is not trusted", "fd00:1:0:1::5", ["2001:db8::1"], "fd00:1:0:1::5"],
  ["a trusted IPv4 peer of a socket for both", "::ffff:10.0.0.1", [client], client],
  ["attack: an untrusted mapped peer", "::ffff:192.0.2.8", ["198.51.100.1"], "192.0.2.8"],
  ["one address has one spelling: mapped", "10.0.0.1", [`::ffff:${client}`], client],
  ["one address has one spelling: mapped in hexadecimal", "10.0.0.1", ["::ffff:cb00:7109"], client],
  ["one address has one spelling: long and large", "10.0.0.1", ["2001:DB8:0:0:0:0:0:1"], "2001:db8::1"],
  ["a port is cut off", "10.0.0.1", [`${client}:4711`], client],
  ["a port is cut off in IPv6", "10.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1"],
  ["no field at all", "10.0.0.1", [], "10.0.0.1"],
];
for (const [name, peer, lines, source] of cases)
  test(`X-Forwarded-For: ${name}`, () => {
    assert.equal(decideSource(proxies, peer, lines), source);
  });

const malformed = [
  "",
  " ",
  ",",
  "unknown",
  "localhost",
  "203.0.113.9.",
  "203.0.113",
  "0313.0.113.9",
  "203.0.113.256",
  "203.0.113.9/32",
  "203.0.113.9:x",
  "203.0.113.9:123456",
  "[203.0.113.9]",
  "[2001:db8::1",
  "2001:db8::1]",
  "fe80::1%eth0",
  "::203.0.113.9",
  "2001:db8::1::2",
  "203.0.113.9\u00a0",
  "203.0.113.9 198.51.100.1",
  '"203.0.113.9"',
  `${"9".repeat(300)}`,
];
for (const hop of malformed)
  test(`attack: a last hop ${JSON.stringify(hop).slice(0, 40)} is nobody's address; the peer's counts, never the field's`, () => {
    assert.equal(decideSource(proxies, "10.0.0.1", [hop]), "10.0.0.1");
    assert.equal(decideSource(proxies, "10.0.0.1", [`${client}, ${hop}`]), "10.0.0.1");
    assert.equal(decideSource(proxies, "10.0.0.1", [`${hop}, 10.0.0.2`]), "10.0.0.1");
    assert.equal(
      decideSource(proxies, "10.0.0.1", [`${hop}, ${client}`]),
      client,
      "what stands behind it is read alone",
    );
  });

const forwarded: readonly (readonly [string, string, string])[] = [
  ["one element", `for=${client};proto=https;by=10.0.0.1`, client],
  ["the name in any case, quoted", `proto=https;For="${client}:4711"`, client],
  ["IPv6 in quotes and brackets", 'for="[2001:db8::1]:4711"', "2001:db8::1"],
  ["two proxies", `for=${client}, for=10.0.0.2`, client],
  ["attack: a forged element before", `for=198.51.100.1, for=${client}`, client],
  ["attack: a quote left open before", `for="198.51.100.1, for=${client}`, client],
  ["attack: a quote left open before one in quotes", 'for="x, for="[2001:db8::1]"', "2001:db8::1"],
  ["attack: an escaped quote before", `for="\\", for=${client}`, client],
  ["attack: a comma in quotes", `for="198.51.100.1, for=${client}"`, "10.0.0.1"],
  ["attack: two addresses in one element", `for=198.51.100.1;for=${client}`, "10.0.0.1"],
  ["no address in the element", "proto=https", "10.0.0.1"],
  ["a name that hides", "for=_hidden", "10.0.0.1"],
  ["unknown", "for=unknown", "10.0.0.1"],
  ["an address without its name", client, "10.0.0.1"],
];
for (const [name, line, source] of forwarded)
  test(`Forwarded: ${name}`, () => {
    assert.equal(decideSource(rfc7239, "10.0.0.1", [line]), source);
  });

test("nobody is believed where nobody is named", () => {
  for (const peer of ["127.0.0.1", "10.0.0.1", "::1"]) assert.equal(decideSource(noProxies, peer, [client]), peer);
  assert.equal(decideSource(trustedProxies([], "forwarded"), "127.0.0.1", [client]), "127.0.0.1");
  assert.equal(decideSource(noProxies, "", [client]), "", "a connection that is gone");
});

for (const network of [
  "",
  "10.0.0.0/33",
  "10.0.0.0/08",
  "10.0.0.0/-1",
  "10.0.0.0/8/8",
  "10.0.0.5/8",
  "fd00:1::1/64",
  "::ffff:10.0.0.0/104",
  "::ffff:10.0.0.1",
  "0.0.0.0/0",
  "::/0",
  "proxy.example",
  "*",
  "10.0.0.0/8,11.0.0.0/8",
])
  test(`a network of proxies ${JSON.stringify(network)} is refused with what to write`, () => {
    assert.throws(
      () => trustedProxies(["10.0.0.1", network], "x-forwarded-for"),
      (fault) => fault instanceof ProxyNetworkFault && fault.message.includes(network) && fault.fix.length > 10,
    );
  });

test("an address is spelled one way or is none", () => {
  assert.equal(plainAddress("::FFFF:10.0.0.1"), "10.0.0.1");
  assert.equal(plainAddress("2001:db8:0::0:1"), "2001:db8::1");
  assert.equal(plainAddress("fe80::1%1"), null);
});

const tls = testCertificate([{ type: "ip", value: "127.0.0.1" }]);
const shown = testCertificate([{ type: "ip", value: "127.0.0.2" }]);

/** What a listener with these proxies says of a request with these fields, over a real connection that shows a certificate. */
async function ask(
  trusted: TrustedProxies | undefined,
  fields: readonly (readonly [string, string])[],
): Promise<{ readonly status: number; readonly says: string }> {
  const issuer: ServedIssuer = {
    ...{ tenant: "main", environment: "production", issuer: "https://id.example/main/production", forms: ["/token"] },
    form: async (req, res) => void res.end(`${addressOf(req)} ${certificateOf(req) === null ? "none" : "certificate"}`),
    ...{ routes: [], metadata: () => ({}), refused: async () => undefined, jwks: () => ({}), documents: {} },
  };
  const onFault = (fault: unknown) => assert.fail(String(fault));
  const listener = await listenIdentity({
    ...{ host: "127.0.0.1", port: 0, tls, onFault },
    ...(trusted === undefined ? {} : { proxies: trusted }),
  });
  listener.setIssuers([issuer]);
  const answer = await new Promise<{ status: number; says: string }>((resolve, reject) => {
    const sent = request(
      {
        ...{ host: "127.0.0.1", port: listener.address.port, path: "/main/production/token", method: "POST" },
        ...{ ca: tls.cert, cert: shown.cert, key: shown.key, agent: false },
        headers: [["host", "id.example"], ["content-length", "0"], ...fields].flat(),
      },
      (response) => {
        let says = "";
        response.on("data", (chunk) => {
          says += String(chunk);
        });
        response.once("end", () => resolve({ status: response.statusCode ?? 0, says }));
      },
    );
    sent.once("error", reject).end();
  }).finally(() => listener.close());
  return answer;
}

const here = (field: ForwardingField = "x-forwarded-for") => trustedProxies(["127.0.0.1"], field);

test("over a connection: a trusted proxy is believed, any other peer is not", async () => {
  const fields = [["x-forwarded-for", client]] as const;
  assert.equal((await ask(here(), fields)).says, `${client} none`);
  assert.equal((await ask(undefined, fields)).says, "127.0.0.1 certificate");
  assert.equal((await ask(trustedProxies(["127.0.0.2"], "x-forwarded-for"), fields)).says, "127.0.0.1 certificate");
});

test("attack: the field the proxy does not write is not read, alone or beside the one it writes", async () => {
  const other = ["forwarded", "for=198.51.100.1"] as const;
  assert.equal((await ask(here(), [other])).says, "127.0.0.1 none");
  assert.equal((await ask(here(), [["x-real-ip", "198.51.100.2"], other])).says, "127.0.0.1 none");
  assert.equal((await ask(here(), [["x-forwarded-for", client], other])).says, `${client} none`);
  const swapped = [
    ["x-forwarded-for", "198.51.100.1"],
    ["forwarded", `for=${client}`],
  ] as const;
  assert.equal((await ask(here("forwarded"), swapped)).says, `${client} none`);
});

test("attack: a field sent twice: the line the proxy added last counts", async () => {
  const lines = (...values: readonly string[]) => values.map((value) => ["X-Forwarded-For", value] as const);
  assert.equal((await ask(here(), lines("198.51.100.1", client))).says, `${client} none`);
  assert.equal((await ask(here(), lines(client, "garbage"))).says, "127.0.0.1 none");
});

test("attack: so many fields that the proxy's own is cut off: refused, not believed", async () => {
  const filler = (count: number) => Array.from({ length: count }, (_, at) => [`x-${at}`, "y"] as const);
  const forged = ["x-forwarded-for", "198.51.100.1"] as const;
  const own = ["x-forwarded-for", client] as const;
  assert.equal((await ask(here(), [forged, ...filler(2 * headerCountMax), own])).status, 431);
  // With Host, Content-Length and a connection field: as many as a parser would keep of more.
  const { status, says } = await ask(here(), [forged, ...filler(headerCountMax - 5), own]);
  assert.equal(status, 431);
  assert.match(says, /fewer than 40 header fields/);
  assert.equal((await ask(here(), [forged, ...filler(headerCountMax - 10), own])).says, `${client} none`);
});

test("attack: the proxy's own certificate, or one in a header, proves no caller", async () => {
  const field = Buffer.from(shown.cert).toString("base64");
  const fields = ["client-cert", "x-ssl-client-cert", "x-forwarded-client-cert"].map((name) => [name, field] as const);
  assert.equal((await ask(here(), fields)).says, "127.0.0.1 none");
});
