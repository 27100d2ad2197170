import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { openTestLog } from "@sallyport/gateway/testing/open-test-log.ts";
import { startTestGateway, type TestGateway, until } from "@sallyport/gateway/testing/start-test-gateway.ts";
import { call, TestCaller } from "@sallyport/gateway/testing/test-caller.ts";
import { audienceOf, issuer } from "@sallyport/gateway/testing/test-estate.ts";
import { generateSigner } from "@sallyport/kernel/token-crypto.ts";
import { signHopToken } from "@sallyport/protocol/token/hop-token.ts";
import { publicJwks } from "@sallyport/sdk/node-crypto.ts";

// Each example is started as its reader starts it, behind one real gateway; its own answers are the judge.
const frameworks = ["express", "fastify", "hono", "nest"] as const;
type Framework = (typeof frameworks)[number];
const startMsMax = 60_000;

interface Service {
  readonly origin: string;
  /** What it wrote to standard error. */
  said(): string;
}

let hopKeys: Server;
let bed: TestGateway;
let caller: TestCaller;
const services = new Map<Framework, Service>();
const children: ChildProcess[] = [];

async function startService(name: Framework, hopKeysUrl: string): Promise<Service> {
  const env = {
    PATH: process.env["PATH"] ?? "",
    ISSUER: issuer,
    AUDIENCE: audienceOf(name),
    HOP_KEYS_URL: hopKeysUrl,
    PORT: "0",
  };
  const child = spawn(process.execPath, [join(import.meta.dirname, name, "service.mjs")], {
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.push(child);
  let out = "";
  let err = "";
  child.stderr.on("data", (chunk: Buffer) => (err += chunk));
  const port = await new Promise<string>((resolve, reject) => {
    const fail = () => reject(new Error(`${name} did not start:\n${out}${err}`));
    const timer = setTimeout(fail, startMsMax);
    child.once("close", fail);
    child.stdout.on("data", (chunk: Buffer) => {
      out += chunk;
      const found = /listening (\d+)/.exec(out)?.[1];
      if (found === undefined) return;
      clearTimeout(timer);
      resolve(found);
    });
  });
  return { origin: `http://127.0.0.1:${port}`, said: () => err };
}

before(async () => {
  hopKeys = createServer((_request, response) => response.end(JSON.stringify(publicJwks([bed.hop]))));
  await new Promise<void>((resolve) => hopKeys.listen(0, "127.0.0.1", resolve));
  const address = hopKeys.address();
  assert.ok(typeof address === "object" && address !== null);
  const started = await Promise.all(frameworks.map((name) => startService(name, `http://127.0.0.1:${address.port}`)));
  for (const [index, name] of frameworks.entries()) {
    const service = started[index];
    if (service !== undefined) services.set(name, service);
  }
  const invoice = { name: "invoice.read", method: "GET", path: "/v1/invoices/{id}" };
  bed = await startTestGateway({
    openLog: openTestLog,
    estate: {
      systems: [
        { id: "orders", clients: ["orders"] },
        ...frameworks.map((id) => ({ id, url: services.get(id)?.origin ?? "", operations: [invoice] })),
      ],
      integrations: frameworks.map((to) => ({
        id: `orders-to-${to}`,
        from: "orders",
        to,
        operations: [{ name: "invoice.read" }],
      })),
    },
  });
  caller = new TestCaller(bed.feed, "orders");
});
after(async () => {
  for (const child of children) {
    if (child.exitCode !== null) continue;
    const gone = new Promise((resolve) => child.once("close", resolve));
    child.kill("SIGKILL");
    await gone;
  }
  await bed?.close();
  hopKeys.closeAllConnections();
  await new Promise((resolve) => hopKeys.close(resolve));
});

function serviceOf(name: Framework): Service {
  const service = services.get(name);
  assert.ok(service !== undefined);
  return service;
}

function identity(audience: string, signer = bed.hop): string {
  const iat = Math.floor(Date.now() / 1000);
  const claims = {
    iss: issuer,
    aud: audience,
    sub: "orders",
    iat,
    exp: iat + 60,
    jti: "j-1",
    op: "express:invoice.read",
    int: "i",
  };
  return signHopToken(claims, signer);
}

for (const name of frameworks)
  describe(`examples/${name}`, () => {
    test("a call through the gateway reaches the handler, which knows the caller", async () => {
      const gateway = `http://127.0.0.1:${bed.addresses[0]?.port}`;
      const answer = await caller.send(`${gateway}/${name}/v1/invoices/7`, {
        headers: { "sallyport-identity": "mine" },
      });
      assert.equal(answer.status, 200, answer.text);
      assert.deepEqual(JSON.parse(answer.text), { invoice: "7", caller: "orders", operation: `${name}:invoice.read` });
    });

    test("a call around the gateway is refused: without identity, with a forged one, with one for another service", async () => {
      const { origin, said } = serviceOf(name);
      const other = frameworks.find((one) => one !== name) ?? "hono";
      const attacks: Readonly<Record<string, string | null>> = {
        "credentials-missing": null,
        "token-malformed": "orders",
        "token-key-unknown": identity(audienceOf(name), generateSigner("ES256").signer),
        "token-audience": identity(audienceOf(other)),
      };
      for (const [code, value] of Object.entries(attacks)) {
        const headers: Record<string, string> = value === null ? {} : { "sallyport-identity": value };
        const answer = await call(`${origin}/v1/invoices/7`, { headers });
        assert.deepEqual([answer.status, answer.code], [401, "unauthenticated"], `${code}: ${answer.text}`);
        assert.ok(!answer.text.includes(code), "the caller does not learn which check failed");
        // The service's own log does; it comes through a pipe, in its own time.
        await until(() => said().includes(`refused ${code} `), code);
      }
      const good = await call(`${origin}/v1/invoices/7`, {
        headers: { "sallyport-identity": identity(audienceOf(name)) },
      });
      assert.equal(good.status, 200, "the nearest allow");
    });

    test("a path nobody serves is refused before the router says what exists", async () => {
      assert.equal((await call(`${serviceOf(name).origin}/nothing/here`)).status, 401);
    });
  });
