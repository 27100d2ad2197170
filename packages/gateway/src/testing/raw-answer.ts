// Promises one answer of a raw socket in the shape of an ordinary one, so that both are judged by the same rules. Trusts raw-socket.ts.
// Specified in RFC 9112 §4 and §6.
import assert from "node:assert/strict";
import { sendRaw } from "./raw-socket.ts";
import type { Answer } from "./test-caller.ts";

/** Sends the bytes, insists on exactly one answer and on the end of the connection, and reads the answer. */
export async function callRaw(url: string, bytes: string | readonly string[]): Promise<Answer> {
  const { text, statuses, closed } = await sendRaw(url, bytes, { until: "end" });
  assert.equal(statuses.length, 1, `one answer: ${text}`);
  assert.ok(closed, "after a refusal by receive nobody knows where the next request begins");
  const [head = "", body = ""] = text.split("\r\n\r\n", 2);
  const headers = Object.fromEntries(
    head
      .split("\r\n")
      .slice(1)
      .map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]),
  );
  const problem: { code?: string } = JSON.parse(body);
  return { status: statuses[0] ?? 0, headers, text: body, id: headers["sallyport-crossing"] ?? "", code: problem.code };
}
