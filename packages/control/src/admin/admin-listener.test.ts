// Answers of lines on a real socket: each leaves as it comes, and a peer that does not read is asked no more of.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { connect } from "node:tls";
import { testAuthority, testCertificate } from "../gateways/channel.test-support.ts";
import { AdminListener } from "./admin-listener.ts";
import { linesType } from "./serve-api.ts";

const authority = testAuthority("listeners");
const tls = testCertificate(authority, { ip: ["127.0.0.1"] });
const bounded = { timeout: 120_000 };
const linesMax = 2_000;
const line = Buffer.alloc(64 * 1024, "x");

test(
  "tail attack: a peer that reads nothing is asked no more of: lines are made as they leave, and going away ends them",
  bounded,
  async () => {
    let made = 0;
    const cancelled = Promise.withResolvers<void>();
    const lines = () =>
      new ReadableStream<Uint8Array>(
        {
          pull: (controller) => {
            made += 1;
            controller.enqueue(line);
            if (made === linesMax) controller.close();
          },
          cancel: () => cancelled.resolve(),
        },
        { highWaterMark: 0 },
      );
    const listener = new AdminListener({
      ...{ host: "127.0.0.1", port: 0, tls, url: () => "https://127.0.0.1" },
      operators: () => assert.fail("nobody asks for a token"),
      api: { fetch: async () => new Response(lines(), { headers: { "content-type": linesType } }) },
      fault: (error) => assert.fail(String(error)),
    });
    const port = await listener.start();
    const peer = connect({ host: "127.0.0.1", port, ca: authority.certificatePem });
    peer.on("error", () => undefined);
    peer.write("GET /v1/status HTTP/1.1\r\nHost: admin.example\r\n\r\n");
    const [first] = await once(peer, "data");
    assert.match(String(first), /^HTTP\/1\.1 200 /);
    peer.pause();
    let still = 0;
    for (let before = -1; still < 50; before = made) {
      still = made === before ? still + 1 : 0;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assert.ok(made < linesMax, "what the buffers of two sockets hold, and no more");
    peer.destroy();
    await cancelled.promise;
    await listener.close();
  },
);
