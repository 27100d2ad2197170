// A provider that answers before an upload is whole: neither side may take what is left of it for something else.
import assert from "node:assert/strict";
import { connect, createServer } from "node:net";
import { test } from "node:test";
import { marketplace } from "./testing/marketplace-estate.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { startTestGateway, until } from "./testing/start-test-gateway.ts";
import { TestCaller } from "./testing/test-caller.ts";

test("desync: the rest of an upload whose answer came early is thrown away, and the request behind it is served on its own", async (t) => {
  const heads: string[] = [];
  const provider = createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", (octets) => {
      const lines = octets.toString("latin1").match(/^[A-Z]+ \S+ HTTP\/1\.1\r$/gm) ?? [];
      heads.push(...lines.map((line) => line.trim()));
      if (lines.length > 0) socket.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly");
    });
  });
  await new Promise<void>((resolve) => provider.listen(0, "127.0.0.1", resolve));
  t.after(() => provider.close());
  const address = provider.address();
  if (address === null || typeof address === "string") throw new Error("no address");
  const estate = marketplace(`http://127.0.0.1:${address.port}`);
  const bed = await startTestGateway({ estate, openLog: openTestLog });
  t.after(() => bed.close());
  const url = bed.addresses[0]?.url ?? "";
  const orders = new TestCaller(bed.feed, "orders");
  await orders.learnNonce(`${url}/`);
  const head = (method: string, path: string, lines: readonly string[] = []): string => {
    const token = orders.token("billing");
    const proof = orders.proof(method, `${url}${path}`, token);
    const fields = [`Host: ${new URL(url).host}`, `Authorization: DPoP ${token}`, `DPoP: ${proof}`, ...lines];
    return [`${method} ${path} HTTP/1.1`, ...fields, "", ""].join("\r\n");
  };
  const socket = connect(Number(new URL(url).port), "127.0.0.1");
  t.after(() => socket.destroy());
  let text = "";
  socket
    .on("error", () => {})
    .on("data", (octets) => {
      text += octets.toString("latin1");
    });
  const hidden = "GET /billing/v1/invoices/2 HTTP/1.1\r\n\r\n";
  const length = `Content-Length: ${4 + hidden.length}`;
  socket.write(head("PUT", "/billing/v1/invoices/1/scan", ["Content-Type: application/pdf", length]));
  socket.write("part");
  await until(() => text.includes("early"), "the early answer");
  await until(() => bed.gateway.status().inFlight === 0, "the end of the upload's crossing");
  socket.write(hidden + head("GET", "/billing/v1/invoices/1"));
  await until(() => text.match(/HTTP\/1\.1 200 /g)?.length === 2, "the next answer");
  assert.deepEqual(heads, ["PUT /v1/invoices/1/scan HTTP/1.1", "GET /v1/invoices/1 HTTP/1.1"]);
});
