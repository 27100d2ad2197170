// What an installation tells those who watch it: metrics as documented, traces to the collector that was named, timings to callers it knows.
import assert from "node:assert/strict";
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders, request, type Server } from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { Installation, isReady, type Served, until } from "./installation.test-support.ts";
import { runBinary } from "./program.test-support.ts";
import { isMeant } from "./roles/status-listener.ts";

const bounded = { timeout: 120_000 };
const repository = fileURLToPath(new URL("../../..", import.meta.url));
let installation: Installation;
let collector: Server;
const batches: { readonly headers: IncomingHttpHeaders; readonly body: string }[] = [];
let status = "";
let all: Served;

before(async () => {
  collector = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      batches.push({ headers: request.headers, body: Buffer.concat(chunks).toString("utf8") });
      response.writeHead(200, { "content-type": "application/json" }).end("{}");
    });
  });
  await new Promise<void>((resolve) => collector.listen(0, "127.0.0.1", resolve));
  const address = collector.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  installation = await Installation.open();
  const headers = join(installation.root, "collector.key");
  writeFileSync(headers, "# of the test\nX-Collector-Key: not-a-real-key\n", { mode: 0o600 });
  all = installation.serve("all", [
    ...installation.controlArguments(),
    ...["--data", installation.data("control"), "--listen", `public=127.0.0.1:${installation.ports.gateway}`],
    ...["--grace", "0s", "--server-timing", "--trace-ratio", "1", "--trace-headers", headers],
    ...["--traces", `http://127.0.0.1:${port}/v1/traces?tenant=acme`],
  ]);
  const ready = await all.line(isReady);
  status = String((ready["addresses"] as Record<string, string>)["status"]);
  installation.trustRoots(join(installation.data("control"), "control", "ca"));
}, bounded);
after(async () => {
  await installation.close();
  collector.closeAllConnections();
  collector.close();
});

const metricsText = async (): Promise<string> => (await fetch(`${status}/metrics`)).text();

test("spans reach the collector that was named, with the fields of its key file and its path", bounded, async () => {
  const answer = await installation.caller().fetch("/billing/v1/invoices/in-1");
  assert.equal(answer.status, 200);
  const id = answer.headers.get("sallyport-crossing") ?? "none";
  await until("the spans of the crossing", () => batches.some(({ body }) => body.includes(id)));
  const batch = batches.find(({ body }) => body.includes(id));
  assert.equal(batch?.headers["x-collector-key"], "not-a-real-key");
  assert.equal(batch?.headers["content-type"], "application/json");
  assert.match(answer.headers.get("server-timing") ?? "", /forward;dur=[\d.]+, outcome;dur=[\d.]+, total;dur=/);
  assert.match(await metricsText(), /^sallyport_traces_lost 0$/m);
});

test(
  "attack: a key file of a collector that others can read is refused, and a key on the command line has no place",
  bounded,
  async () => {
    const open = join(installation.root, "open.key");
    writeFileSync(open, "X-Collector-Key: not-a-real-key\n", { mode: 0o600 });
    chmodSync(open, 0o644);
    const [readable, inUrl] = await Promise.all([
      runBinary(["serve", "--traces", "http://127.0.0.1:9/v1/traces", "--trace-headers", open]),
      runBinary(["serve", "--traces", "http://user:secret@127.0.0.1:9/v1/traces"]),
    ]);
    assert.equal(readable.exit, 2);
    assert.match(readable.err, /open\.key/);
    assert.equal(inUrl.exit, 2);
    assert.match(inUrl.err, /--trace-headers/);
  },
);

/** Status of the status listener for a request that names `host`. */
function statusFor(host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(status);
    request({ hostname, port, path: "/readyz", headers: { host } }, (answer) =>
      resolve(answer.resume().statusCode ?? 0),
    )
      .once("error", reject)
      .end();
  });
}

test(
  "attack: a page whose name was made to resolve to loopback reads nothing of the status listener",
  bounded,
  async () => {
    const { port } = new URL(status);
    for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, "[::1]"])
      assert.equal(await statusFor(host), 200, host);
    for (const host of [
      `evil.example:${port}`,
      `localhost.evil.example:${port}`,
      `127.0.0.1.evil.example`,
      "x@127.0.0.1",
    ])
      assert.equal(await statusFor(host), 403, host);
    assert.equal(isMeant("prometheus.internal:7443", "0.0.0.0"), true);
  },
);

/** Name -> type of every metric of a scrape. */
function typesOf(text: string): ReadonlyMap<string, string> {
  return new Map([...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = "", type = ""]) => [name, type]));
}
function documented(): ReadonlyMap<string, string> {
  const page = readFileSync(join(repository, "docs/metrics.md"), "utf8");
  return new Map([...page.matchAll(/^\| `([a-z_]+)` \| (\w+) \|/gm)].map(([, name = "", type = ""]) => [name, type]));
}

test("docs/metrics.md lists every metric of an installation with its type, and no other", bounded, async () => {
  const text = await metricsText();
  const ours = new Map([...typesOf(text)].filter(([name]) => name.startsWith("sallyport_")));
  assert.deepEqual([...documented()].sort(), [...ours].sort());
  assert.match(text, /^process_resident_memory_bytes /m);
  assert.match(text, /^nodejs_eventloop_lag_p99_seconds /m);
});

test("no metric has a label that a caller could choose", bounded, async () => {
  await fetch(`https://127.0.0.1:${installation.ports.gateway}/canary-path?canary=1`, {
    headers: { "user-agent": "canary-agent", authorization: "Bearer canary" },
  });
  const text = await metricsText();
  assert.ok(!text.includes("canary"));
  const labels = new Set(
    [...text.matchAll(/^sallyport_\w+\{([^}]*)\}/gm)].flatMap(([, all = ""]) =>
      [...all.matchAll(/(\w+)="/g)].map(([, name = ""]) => name),
    ),
  );
  for (const label of labels)
    assert.ok(
      [
        "code",
        "outcome",
        "reason",
        "why",
        "le",
        "integration",
        "verdict",
        "version",
        "fold",
        "system",
        "endpoint",
        "answer",
        "by",
        "policy",
        "would",
      ].includes(label),
      label,
    );
});

/** Names of metrics in an expression, without what Prometheus appends to a histogram's. */
const namesIn = (expression: string): string[] =>
  [...expression.matchAll(/\b((?:sallyport|process|nodejs)_[a-z0-9_]+)/g)].map(([, name = ""]) =>
    name.replace(/_(bucket|sum|count)$/, ""),
  );

test(
  "the Grafana board and the alert rules ask only for metrics that exist, and every alert says what to do",
  bounded,
  async () => {
    const known = new Set(typesOf(await metricsText()).keys());
    const board = JSON.parse(readFileSync(join(repository, "deploy/grafana/sallyport.json"), "utf8"));
    const expressions: string[] = board.panels.flatMap((panel: { targets?: { expr: string }[] }) =>
      (panel.targets ?? []).map(({ expr }) => expr),
    );
    assert.ok(expressions.length >= 12);
    const rules = parse(readFileSync(join(repository, "deploy/prometheus/alerts.yaml"), "utf8"));
    const alerts: { alert: string; expr: string; labels: { severity: string }; annotations: Record<string, string> }[] =
      rules.groups.flatMap((group: { rules: unknown[] }) => group.rules);
    assert.ok(alerts.length >= 10);
    for (const { alert, labels, annotations } of alerts) {
      assert.ok(["page", "ticket"].includes(labels.severity), alert);
      assert.ok((annotations["summary"] ?? "").length > 10 && (annotations["fix"] ?? "").length > 10, alert);
    }
    for (const expression of [...expressions, ...alerts.map(({ expr }) => expr)]) {
      assert.ok(namesIn(expression).length > 0, expression);
      for (const name of namesIn(expression)) assert.ok(known.has(name), `${name} in ${expression}`);
    }
  },
);
