// The health of a node over gRPC, asked with the client of @grpc/grpc-js on the port of the status listener, beside everything else that port does.
import assert from "node:assert/strict";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { Client, credentials, Metadata, status } from "@grpc/grpc-js";
import { openStatusListener, type StatusListener } from "./status-listener.ts";

let isReady = true;
let listener: StatusListener;
let client: Client;
before(async () => {
  const source = {
    dataDirectory: "/",
    readiness: () => ({ ready: isReady }),
    metricsText: async () => "",
  };
  listener = await openStatusListener({ host: "127.0.0.1", port: 0 }, source);
  client = new Client(`127.0.0.1:${listener.port}`, credentials.createInsecure());
});
after(async () => {
  client?.close();
  await listener?.close();
});

const check = "/grpc.health.v1.Health/Check";
const watch = "/grpc.health.v1.Health/Watch";
/** `HealthCheckRequest`: field 1, the name of the service. */
const asking = (service: string): Buffer =>
  service === "" ? Buffer.alloc(0) : Buffer.concat([Buffer.from([0x0a, service.length]), Buffer.from(service)]);
const asIs = (octets: Buffer): Buffer => octets;

function ask(path: string, question: Buffer): Promise<string> {
  return new Promise((resolve) => {
    client.makeUnaryRequest(path, asIs, asIs, question, new Metadata(), (fault, answer) => {
      resolve(fault === null ? (answer?.toString("hex") ?? "") : String(status[fault.code]));
    });
  });
}

describe("health over gRPC", () => {
  test("Check says what /readyz says", async () => {
    isReady = true;
    assert.equal(await ask(check, asking("")), "0801", "SERVING");
    assert.equal((await fetch(`http://127.0.0.1:${listener.port}/readyz`)).status, 200);
    isReady = false;
    assert.equal(await ask(check, asking("")), "0802", "NOT_SERVING");
    assert.equal((await fetch(`http://127.0.0.1:${listener.port}/readyz`)).status, 503);
    isReady = true;
    assert.equal(await ask(check, Buffer.from([0x0a, 0])), "0801", "an empty name that was written");
  });

  test("Watch says so whenever it changes, until its caller leaves", async () => {
    isReady = true;
    const call = client.makeServerStreamRequest(watch, asIs, asIs, asking(""), new Metadata());
    const said: string[] = [];
    const cancelled = new Promise((resolve) => call.on("error", resolve));
    for await (const octets of call as AsyncIterable<Buffer>) {
      said.push(octets.toString("hex"));
      isReady = said.length !== 1;
      if (said.length === 3) break;
    }
    assert.deepEqual(said, ["0801", "0802", "0801"]);
    call.cancel();
    await cancelled;
  });

  test("attack: names are not to be tried: every other service is unknown alike", async () => {
    for (const service of ["billing", "grpc.health.v1.Health", "sallyport"])
      assert.equal(await ask(check, asking(service)), "NOT_FOUND");
    const call = client.makeServerStreamRequest(watch, asIs, asIs, asking("billing"), new Metadata());
    call.on("error", () => {});
    const first = await new Promise<Buffer>((resolve) => call.once("data", resolve));
    assert.equal(first.toString("hex"), "0803", "SERVICE_UNKNOWN");
    call.cancel();
  });

  test("attack: another method, a long question and a page of a browser learn nothing", async () => {
    assert.equal(await ask("/grpc.health.v1.Health/List", asking("")), "UNIMPLEMENTED");
    assert.equal(await ask(check, Buffer.alloc(2_000, "x")), "RESOURCE_EXHAUSTED");
    const session = connectHttp2(`http://127.0.0.1:${listener.port}`);
    const statusOf = (headers: Record<string, string>): Promise<string> =>
      new Promise((resolve, reject) => {
        const stream = session.request({
          ":method": "POST",
          ":path": check,
          "content-type": "application/grpc",
          ...headers,
        });
        stream
          .on("error", reject)
          .on("response", (fields) => resolve(`${fields[":status"]} ${fields["grpc-status"] ?? ""}`));
        if (headers[":method"] !== "GET") stream.end(Buffer.alloc(5));
      });
    assert.equal(await statusOf({ ":authority": "evil.example" }), "200 7");
    assert.equal(await statusOf({ ":method": "GET" }), "415 ");
    assert.equal(await statusOf({ "content-type": "text/plain" }), "415 ");
    session.close();
  });

  test("attack: a connection that says nothing, or speaks neither, ends, and everybody else is answered meanwhile", async () => {
    const silent = connect(listener.port, "127.0.0.1");
    const silence = new Promise((resolve) => silent.once("close", resolve));
    const foreign = connect(listener.port, "127.0.0.1", () =>
      foreign.write("PRI * HTTP/2.0 but not really, and much more of it\r\n"),
    );
    foreign.on("error", () => {});
    foreign.resume();
    await new Promise((resolve) => foreign.once("close", resolve));
    assert.equal(await ask(check, asking("")), "0801");
    await silence;
  });
});
