// The API of docs/first-crossing.md: any HTTP service will do. It says who called, as the gateway signed it for this very provider.
import { createServer } from "node:http";

createServer((request, response) => {
  const [, payload = ""] = String(request.headers["sallyport-identity"] ?? "").split(".");
  const identity = payload === "" ? null : JSON.parse(Buffer.from(payload, "base64url").toString("utf8"));
  response.writeHead(200, { "content-type": "application/json" });
  response.end(
    `${JSON.stringify({ path: request.url, caller: identity?.sub ?? null, operation: identity?.op ?? null })}\n`,
  );
}).listen(8080, "127.0.0.1", () => process.stdout.write("billing listens on http://127.0.0.1:8080\n"));
