// Billing on Express, open to callers of a Sallyport gateway and to nobody else. Run by examples/frameworks.test.ts.
import { createRequestVerifier, principalOf, sallyportMiddleware } from "@sallyport/sdk";
import express from "express";

const { ISSUER = "", AUDIENCE = "", HOP_KEYS_URL = `${ISSUER}/hop-jwks`, PORT = "8080" } = process.env;
const verify = createRequestVerifier({ issuer: ISSUER, audience: AUDIENCE, hopKeysUrl: HOP_KEYS_URL });

const app = express();
app.use(sallyportMiddleware(verify, { onRefused: ({ code }, id) => console.error(`refused ${code} ${id}`) }));
app.get("/v1/invoices/:id", (request, response) => {
  const { caller, operation } = principalOf(request);
  response.json({ invoice: request.params.id, caller, operation });
});

const server = app.listen(Number(PORT), "127.0.0.1", () => console.log(`listening ${server.address().port}`));
