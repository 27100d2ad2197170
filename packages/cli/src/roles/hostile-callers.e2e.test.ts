// What strangers leave behind in a running installation: no line and no word in its log, and no file for them to read.
import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { connect } from "node:tls";
import { Installation, isReady, type Served } from "../installation.test-support.ts";

const bounded = { timeout: 120_000 };
const canary = "canary-7f3a";
/** As a line of the log would look. */
const forgedLine = `{"level":30,"msg":"${canary}"}`;
let installation: Installation;
let all: Served;
const data = () => installation.data("control");

before(async () => {
  installation = await Installation.open();
  all = installation.serve("all", [
    ...installation.controlArguments(),
    ...["--data", data(), "--listen", `public=127.0.0.1:${installation.ports.gateway}`, "--grace", "0s"],
  ]);
  await all.line(isReady);
}, bounded);
after(() => installation.close());

/** Sends the octets over TLS and resolves with what came back, once the other side has closed. */
function send(port: number, text: string): Promise<string> {
  const ca = readdirSync(join(data(), "control", "ca")).map((name) =>
    readFileSync(join(data(), "control", "ca", name)),
  );
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", ca });
    let answer = "";
    socket.on("data", (octets) => {
      answer += octets.toString("latin1");
    });
    socket.once("error", reject).once("close", () => resolve(answer));
    socket.write(text, "latin1");
  });
}

function hostileRequests(host: string): readonly string[] {
  const end = `Host: ${host}\r\nConnection: close`;
  const escaped = encodeURIComponent(`\n${forgedLine}\n`);
  const form = `grant_type=client_credentials&client_id=${escaped}&scope=${escaped}&resource=${escaped}`;
  return [
    `GET /billing/v1/invoices/${canary}?q=${escaped} HTTP/1.1\r\n${end}\r\n\r\n`,
    `GET /billing/v1/invoices/${escaped} HTTP/1.1\r\n${end}\r\n\r\n`,
    `GET /${canary} HTTP/1.1\r\n${end}\r\nAuthorization: Bearer ${canary}\r\nUser-Agent: \x1b[2J${canary}\r\n\r\n`,
    `GET / HTTP/1.1\r\n${end}\r\nX-${canary}: a\n${forgedLine}\r\n\r\n`,
    `GET /a\n${forgedLine}\n HTTP/1.1\r\n${end}\r\n\r\n`,
    `${canary.toUpperCase()} / HTTP/1.1\r\n${end}\r\n\r\n`,
    `\n${forgedLine}\n${forgedLine}\r\n\r\n`,
    `POST /main/production/token HTTP/1.1\r\n${end}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: ${form.length}\r\n\r\n${form}`,
    `POST /v1/estate HTTP/1.1\r\n${end}\r\nContent-Type: application/json\r\nContent-Length: ${forgedLine.length}\r\n\r\n${forgedLine}`,
  ];
}

test("attack: no caller writes a line of the process log, and none of its words is there", bounded, async () => {
  const { gateway, identity, admin } = installation.ports;
  for (const port of [gateway, identity, admin])
    for (const text of hostileRequests(`127.0.0.1:${port}`))
      assert.match(await send(port, text), /^HTTP\/1\.1 [45]\d\d /, JSON.stringify(text.slice(0, 60)));
  const { output } = await all.signal("SIGTERM");
  assert.ok(!output.toLowerCase().includes(canary), output.slice(0, 2_000));
  const lines = output.split("\n").filter((line) => line !== "");
  assert.ok(lines.length > 3);
  for (const line of lines) assert.match(line, /^\{"[^\n]*\}$/);
});

/** Whatever another account of the machine could list or read below this folder. */
function openTo(others: string): readonly string[] {
  if ((statSync(others).mode & 0o077) === 0) return [];
  return readdirSync(others, { withFileTypes: true }).flatMap((entry) => {
    const path = join(others, entry.name);
    if (entry.isDirectory()) return openTo(path);
    return (statSync(path).mode & 0o077) === 0 ? [] : [path];
  });
}

test("nothing a running installation keeps can be read by anybody but its owner", bounded, () => {
  const names = readdirSync(data(), { recursive: true });
  assert.ok(names.length > 20, `${names.length} files`);
  assert.deepEqual(openTo(data()), []);
});
