// Billing on Hono, open to callers of a Sallyport gateway and to nobody else. Run by examples/frameworks.test.ts.
import { serve } from "@hono/node-server";
import { createRequestVerifier, principalOf, sallyportGuard } from "@sallyport/sdk";
import { Hono } from "hono";

const { ISSUER = "", AUDIENCE = "", HOP_KEYS_URL = `${ISSUER}/hop-jwks`, PORT = "8080" } = process.env;
const verify = createRequestVerifier({ issuer: ISSUER, audience: AUDIENCE, hopKeysUrl: HOP_KEYS_URL });
const guard = sallyportGuard(verify, { onRefused: ({ code }, id) => console.error(`refused ${code} ${id}`) });

const app = new Hono();
app.use(async (context, next) => (await guard(context.req.raw)) ?? next());
app.get("/v1/invoices/:id", (context) => {
  const { caller, operation } = principalOf(context.req.raw);
  return context.json({ invoice: context.req.param("id"), caller, operation });
});

serve({ fetch: app.fetch, port: Number(PORT), hostname: "127.0.0.1" }, ({ port }) => console.log(`listening ${port}`));
