import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { marketplace } from "./testing/marketplace-estate.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { problemsOf, type RawAnswer, sendRaw } from "./testing/raw-socket.ts";
import { startTestGateway, type TestGateway } from "./testing/start-test-gateway.ts";
import { TestCaller } from "./testing/test-caller.ts";

interface Vectors {
  readonly te: readonly { readonly name: string; readonly header: string }[];
  readonly cl: readonly { readonly name: string; readonly header: string }[];
  readonly chunk: readonly { readonly name: string; readonly body: string }[];
  readonly line: readonly { readonly name: string; readonly line: string }[];
}

const folder = process.env["SALLYPORT_VECTORS"] ?? join(import.meta.dirname, "../../../../shared/vectors");
const file = join(folder, "smuggling/mutations.json");
const skip = existsSync(file) ? false : `no vectors at ${file}; set SALLYPORT_VECTORS`;
const vectors: Vectors = skip ? { te: [], cl: [], chunk: [], line: [] } : JSON.parse(readFileSync(file, "utf8"));

/** The provider as a bare socket: it counts bytes of requests, so that nothing a parser would forgive goes unseen. */
let provider: Server;
let heads: string[] = [];
let bed: TestGateway;
let url: string;
let orders: TestCaller;

before(async () => {
  provider = createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      const text = chunk.toString("latin1");
      heads.push(...(text.match(/^[A-Z]+ [^\r\n]+ HTTP\/1\.1\r$/gm) ?? []));
      if (text.includes("\r\n\r\n")) socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
  });
  await new Promise<void>((resolve) => provider.listen(0, "127.0.0.1", resolve));
  const address = provider.address();
  if (address === null || typeof address === "string") throw new Error("no address");
  const admission = { badCredentialsPerPrefixMax: 1_000_000 };
  bed = await startTestGateway({
    estate: marketplace(`http://127.0.0.1:${address.port}`),
    openLog: openTestLog,
    changes: { admission },
  });
  url = bed.addresses[0]?.url ?? "";
  orders = new TestCaller(bed.feed, "orders");
  await orders.learnNonce(`${url}/`);
});
after(async () => {
  await bed?.close();
  await new Promise((resolve) => provider?.close(resolve));
});

const path = "/billing/v1/invoices";
const content = '{"amount":5,"customer":"c"}';

/** A request that would pass but for the mutation: good token, fresh proof. The smuggled one is a read the caller is granted. */
function credentials(): string {
  const token = orders.token("billing");
  return `Authorization: DPoP ${token}\r\nDPoP: ${orders.proof("POST", `${url}${path}`, token)}`;
}

function post(framing: string, body: string): string {
  return `POST ${path} HTTP/1.1\r\nHost: ${new URL(url).host}\r\n${credentials()}\r\nContent-Type: application/json\r\n${framing}\r\n\r\n${body}`;
}

async function sendCounted(
  bytes: string,
  quietMs = 40,
): Promise<{ readonly answer: RawAnswer; readonly reached: number }> {
  heads = [];
  const answer = await sendRaw(url, bytes, { quietMs });
  return { answer, reached: heads.length };
}

/** Mutations of Transfer-Encoding that are plain `chunked` after optional white space (RFC 9112 §5.1) and may pass. */
const plainTe: ReadonlySet<string> = new Set([
  "plain",
  "double-space",
  "no-space",
  "tab-after-colon",
  "trailing-space",
  "x-prefix",
]);
/** Mutations of which one header line is another field entirely: then the request simply has no such framing. */
const chunkedContent = `${content.length.toString(16)}\r\n${content}\r\n0\r\n\r\n`;

function assertRefused(name: string, answer: RawAnswer, reached: number): void {
  assert.equal(reached, 0, `${name}: the provider was reached`);
  assert.equal(answer.statuses.length, 1, `${name}: exactly one answer, got ${problemsOf(answer)}`);
  assert.ok((answer.statuses[0] ?? 0) >= 400, `${name}: ${answer.text.slice(0, 200)}`);
  assert.match(answer.text, /sallyport-verdict: deny; by=gateway; code=/);
}

describe("every mutation has one defined answer, and a refused one never reaches the provider", { skip }, () => {
  test("Transfer-Encoding alone: plain `chunked` passes, everything else is refused", async () => {
    for (const { name, header } of vectors.te) {
      const { answer, reached } = await sendCounted(post(header, chunkedContent));
      if (plainTe.has(name)) assert.deepEqual([answer.statuses, reached], [[200], 1], `${name}: ${problemsOf(answer)}`);
      else assertRefused(name, answer, reached);
    }
  });

  test("Transfer-Encoding with Content-Length is refused, whatever its spelling (RFC 9112 §6.1)", async () => {
    for (const { name, header } of vectors.te) {
      for (const order of [`${header}\r\nContent-Length: 5`, `Content-Length: 5\r\n${header}`]) {
        const { answer, reached } = await sendCounted(
          post(order, "0\r\n\r\nGET /billing/v1/invoices/1 HTTP/1.1\r\nHost: x\r\n\r\n"),
        );
        assertRefused(`${name} with Content-Length`, answer, reached);
      }
    }
  });

  test("Content-Length: every mutation is refused", async () => {
    for (const { name, header } of vectors.cl) {
      const { answer, reached } = await sendCounted(post(header, "hello"));
      assertRefused(name, answer, reached);
    }
  });

  test("Content-Length with chunked is refused for every mutation", async () => {
    for (const { name, header } of vectors.cl) {
      const { answer, reached } = await sendCounted(post(`${header}\r\nTransfer-Encoding: chunked`, chunkedContent));
      assertRefused(`${name} with chunked`, answer, reached);
    }
  });

  test("chunks: what is not exactly RFC 9112 §7.1 is 400; the rest is judged as the content it is", async () => {
    // These are well-formed chunked content, `hello`, which is not JSON: the refusal is about content, and the framing held.
    const wellFormed: ReadonlySet<string> = new Set([
      "ok",
      "ext",
      "zero-pad",

      "trailer-host",
      "trailer-auth",
    ]);
    for (const { name, body } of vectors.chunk) {
      const { answer, reached } = await sendCounted(post("Transfer-Encoding: chunked", body));
      assertRefused(name, answer, reached);
      const expected = wellFormed.has(name) ? ["400 body-malformed"] : ["400 bad-framing"];
      assert.deepEqual(problemsOf(answer), expected, name);
    }
  });

  test("trailers never become header fields", async () => {
    for (const name of ["Sallyport-Identity: x", "Authorization: Bearer x", "Content-Length: 3"]) {
      const { answer, reached } = await sendCounted(
        post("Transfer-Encoding: chunked", chunkedContent.replace("0\r\n\r\n", `0\r\n${name}\r\n\r\n`)),
      );
      assert.ok(answer.statuses.length === 1 && reached <= 1, name);
    }
  });

  const line: Readonly<Record<string, string>> = {
    "lf-first": "400 bad-request-line",
    "double-space": "400 bad-request-line",
    "trailing-dot": "401 unauthenticated",
  };
  test("request lines: the table of docs/gateway.md, everything not in it is refused by `receive`", async () => {
    for (const { name, line: text } of vectors.line) {
      const target = text.replace("LONG16K", "x".repeat(16_384));
      const { answer, reached } = await sendCounted(`${target}\r\nHost: ${new URL(url).host}\r\n\r\n`);
      assertRefused(name, answer, reached);
      const [problem = ""] = problemsOf(answer);
      if (line[name] !== undefined) assert.equal(problem, line[name], name);
      else assert.doesNotMatch(problem, /^401/, `${name} got past receive`);
    }
  });
});
