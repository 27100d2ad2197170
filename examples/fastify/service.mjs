// Billing on Fastify, open to callers of a Sallyport gateway and to nobody else. Run by examples/frameworks.test.ts.
import { createRequestVerifier, principalOf, sallyportMiddleware } from "@sallyport/sdk";
import Fastify from "fastify";

const { ISSUER = "", AUDIENCE = "", HOP_KEYS_URL = `${ISSUER}/hop-jwks`, PORT = "8080" } = process.env;
const verify = createRequestVerifier({ issuer: ISSUER, audience: AUDIENCE, hopKeysUrl: HOP_KEYS_URL });
const guard = sallyportMiddleware(verify, { onRefused: ({ code }, id) => console.error(`refused ${code} ${id}`) });

const app = Fastify();
// A refused request is answered by the guard and goes no further: `done` is never called.
app.addHook("onRequest", (request, reply, done) => guard(request.raw, reply.raw, done));
app.get("/v1/invoices/:id", async (request) => {
  const { caller, operation } = principalOf(request.raw);
  return { invoice: request.params.id, caller, operation };
});

await app.listen({ port: Number(PORT), host: "127.0.0.1" });
console.log(`listening ${app.server.address().port}`);
