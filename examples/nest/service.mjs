// Billing on Nest, open to callers of a Sallyport gateway and to nobody else. Run by examples/frameworks.test.ts.
// Decorators are called as the functions they are, because this file is plain JavaScript; with TypeScript write them with @.
import "reflect-metadata";
import { Controller, Get, Module, Req } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { createRequestVerifier, principalOf, sallyportMiddleware } from "@sallyport/sdk";

const { ISSUER = "", AUDIENCE = "", HOP_KEYS_URL = `${ISSUER}/hop-jwks`, PORT = "8080" } = process.env;
const verify = createRequestVerifier({ issuer: ISSUER, audience: AUDIENCE, hopKeysUrl: HOP_KEYS_URL });

class Invoices {
  read(request) {
    const { caller, operation } = principalOf(request);
    return { invoice: request.params.id, caller, operation };
  }
}
Controller("v1/invoices")(Invoices);
Get(":id")(Invoices.prototype, "read", Object.getOwnPropertyDescriptor(Invoices.prototype, "read"));
Req()(Invoices.prototype, "read", 0);

class Billing {}
Module({ controllers: [Invoices] })(Billing);

const app = await NestFactory.create(Billing, { logger: ["error", "warn"] });
app.use(sallyportMiddleware(verify, { onRefused: ({ code }, id) => console.error(`refused ${code} ${id}`) }));
await app.listen(Number(PORT), "127.0.0.1");
console.log(`listening ${app.getHttpServer().address().port}`);
