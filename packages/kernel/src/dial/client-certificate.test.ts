// A provider that asks who we are: what it is shown, and that a handshake it refuses is told as that, with its own word and the certificate it was shown.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createSecureServer, type Http2SecureServer, type ServerHttp2Stream } from "node:http2";
import { createServer, type Server } from "node:https";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { TLSSocket } from "node:tls";
import { createLocalCa, issueLeaf } from "../x509/issue.ts";
import { DialFault } from "./dial-fault.ts";
import { createDialer } from "./dialer.ts";
import type { DialTls } from "./port.ts";
import { ask, get } from "./testing/ask-upstream.ts";

const random = { bytes: (length: number) => new Uint8Array(randomBytes(length)) };
const life = { notBeforeMs: Date.now() - 60_000, notAfterMs: Date.now() + 86_400_000 };
const caOf = (environment: string) => createLocalCa({ tenant: "main", environment, random, ...life });
const [ca, partner, stranger] = [caOf("server"), caOf("partner"), caOf("stranger")];

function issued(issuer: typeof ca, usage: "client" | "server", lived = life) {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = publicKey.export({ format: "der", type: "spki" });
  const names = usage === "server" ? { dns: ["localhost"] } : { uri: "spiffe://main/production/gateway" };
  const leaf = issueLeaf({ ca: issuer, publicKeySpki: spki, names, usage, random, ...lived });
  return { cert: leaf.pem, key: privateKey.export({ format: "pem", type: "pkcs8" }).toString() };
}

const own = issued(ca, "server");
const ours = issued(partner, "client");
const theirs = issued(stranger, "client");
const ended = issued(partner, "client", { notBeforeMs: life.notBeforeMs, notAfterMs: Date.now() - 1_000 });
const shown = "the certificate of partner (gateway 1)";

const seen: string[] = [];
const note = (socket: TLSSocket): void => void seen.push(socket.getPeerX509Certificate()?.subjectAltName ?? "none");
const versions = ["TLSv1.2", "TLSv1.3"] as const;
const servers = new Map<string, Server | Http2SecureServer>();
const silent = createTcpServer((socket) => socket.destroy());
const portOf = (name: string): number => {
  const at = servers.get(name)?.address();
  return typeof at === "object" && at !== null ? at.port : 0;
};

before(async () => {
  for (const version of versions) {
    const options = {
      ...own,
      ca: partner.certificatePem,
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: version,
      maxVersion: version,
    };
    servers.set(
      `http1 ${version}`,
      createServer(options, (request, response) => {
        note(request.socket as TLSSocket);
        response.end("ok");
      }),
    );
    const http2 = createSecureServer(options);
    http2.on("session", (session) => session.on("error", () => undefined));
    http2.on("stream", (stream: ServerHttp2Stream) => {
      stream.on("error", () => undefined);
      note(stream.session?.socket as TLSSocket);
      stream.respond({ ":status": 200 });
      stream.end("ok");
    });
    servers.set(`http2 ${version}`, http2);
  }
  for (const server of [...servers.values(), silent])
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
after(() => {
  for (const server of [...servers.values(), silent]) server.close();
});

const dialer = createDialer();
const rules = { allowPrivateHosts: new Set(["localhost"]), ownAddresses: new Set<string>() };

async function outcome(name: string, tls: DialTls, times = 1, port = portOf(name)): Promise<string> {
  const options = { rules, tls: { ca: ca.certificatePem, ...tls }, connectionsMax: 2, connectTimeoutMs: 10_000 };
  const origin = `https://localhost:${port}`;
  const pool = name.startsWith("http2") ? dialer.upstreamHttp2(origin, options) : dialer.upstream(origin, options);
  try {
    let text = "";
    for (let i = 0; i < times; i++) {
      const { content, fault } = await ask(pool, get);
      text = fault ?? content;
    }
    return text;
  } finally {
    await pool.destroy();
  }
}

for (const protocol of ["http1", "http2"])
  for (const version of versions)
    describe(`${protocol} over ${version}`, () => {
      const name = `${protocol} ${version}`;

      test("the certificate is shown, and its key proven", async () => {
        seen.length = 0;
        assert.equal(await outcome(name, { ...ours, shown }), "ok");
        assert.deepEqual(seen, ["URI:spiffe://main/production/gateway"]);
      });

      test("without a certificate the provider refuses us, and says that it wants one", async () => {
        const said = await outcome(name, {});
        assert.match(
          said,
          /^tls-refused: .*\(TLS alert: (?:certificate required|handshake failure)\).*no certificate of ours$/,
        );
      });

      test("a provider that hangs up instead of saying why is named with what it was shown", async () => {
        // As servers of Node do, which look at a certificate once the handshake is over.
        for (const pair of [theirs, ended]) {
          const said = await outcome(name, { ...pair, shown });
          assert.match(said, /^connect-failed: /);
          assert.ok(said.endsWith(`; it may not take ${shown}`), said);
        }
      });

      test("the key is asked for at each connection; where there is none, nothing is dialled", async () => {
        let asked = 0;
        const key = (): string => {
          asked++;
          return ours.key;
        };
        assert.equal(await outcome(name, { cert: ours.cert, key, shown }, 3), "ok");
        assert.equal(asked, 1, "once for a connection, not for a request");
        seen.length = 0;
        const none = (): string => {
          throw new DialFault("no-key", "it is not here");
        };
        assert.equal(await outcome(name, { cert: ours.cert, key: none, shown }), "no-key: it is not here");
        assert.deepEqual(seen, []);
      });
    });

for (const version of ["tls1_2", "tls1_3"])
  describe(`OpenSSL over ${version}, which says why in the handshake`, () => {
    const folder = mkdtempSync(join(tmpdir(), "sallyport-alerts-"));
    let child: ChildProcess;
    let port = 0;
    before(async () => {
      const files = { "own.pem": own.cert, "own.key": own.key, "ca.pem": partner.certificatePem };
      for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text, { mode: 0o600 });
      const shownBy = ["-cert", join(folder, "own.pem"), "-key", join(folder, "own.key")];
      const asks = [
        "-CAfile",
        join(folder, "ca.pem"),
        "-Verify",
        "1",
        "-verify_return_error",
        `-${version}`,
        "-alpn",
        "h2,http/1.1",
      ];
      child = spawn("openssl", ["s_server", "-accept", "127.0.0.1:0", ...shownBy, ...asks]);
      let said = "";
      port = await new Promise<number>((resolve, reject) => {
        child.once("error", reject);
        child.once("exit", () => reject(new Error(said)));
        const look = (text: Buffer): void => {
          said += String(text);
          const at = /ACCEPT .*:(\d+)/.exec(said)?.[1];
          if (at !== undefined) resolve(Number(at));
        };
        child.stdout?.on("data", look);
        child.stderr?.on("data", look);
      });
    });
    after(() => {
      child?.kill();
      rmSync(folder, { recursive: true, force: true });
    });

    for (const [what, pair, alert] of [
      ["of somebody it does not know", theirs, /unknown ca/],
      ["that has ended", ended, /certificate expired/],
    ] as const)
      for (const protocol of ["http1", "http2"])
        test(`${protocol}: a certificate ${what} is refused with the provider's word for it, and which one it was`, async () => {
          const said = await outcome(protocol, { ...pair, shown }, 1, port);
          assert.match(said, /^tls-refused: /);
          assert.match(said, alert);
          assert.ok(said.includes(shown), said);
        });
  });

test("a provider that only hangs up has not refused a certificate", async () => {
  const { port } = silent.address() as AddressInfo;
  const options = {
    rules,
    tls: { ca: ca.certificatePem, ...ours, shown },
    connectionsMax: 1,
    connectTimeoutMs: 10_000,
  };
  const pool = dialer.upstream(`https://localhost:${port}`, options);
  assert.match(String((await ask(pool, get)).fault), /^connect-failed/);
  await pool.destroy();
});
