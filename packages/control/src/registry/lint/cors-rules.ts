// Promises to find pages of browsers that may call where somebody hardly meant it, or that cannot although somebody did. Pure. Pages: docs/lint.
// What `cors` does: docs/cors.md.
import { isBound } from "@sallyport/protocol/principal.ts";
import { type Hit, onIntegrations, type Rule } from "./rule.ts";

/** As cors-schema.ts lets them through. */
const loopbackOrigin = /^https?:\/\/(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?$/;

export const corsRules: readonly Rule[] = [
  {
    id: "cors-bearer",
    severity: "warning",
    title: "Pages of browsers may call with what can be copied",
    why: "A script that gets into the page reads the token or the API key, and uses it from anywhere until it ends. A key made by WebCrypto cannot be taken out of the browser.",
    fix: "take `bearer` and `api-key` out of `proof.accept`; pages prove themselves with DPoP",
    waivable: true,
    check: onIntegrations(
      ({ integration: { cors, proof }, at }): Hit | false =>
        cors !== undefined &&
        !proof.every(isBound) && {
          at: at("cors"),
          message: "pages may call, and credentials without proof of possession are accepted of them",
        },
    ),
  },
  {
    id: "cors-without-dpop",
    severity: "warning",
    title: "Pages of browsers may call, and have no proof that is accepted",
    why: "A page has no client certificate to show: a browser shows its own only with credentials, which the gateway never allows. Without DPoP each of its calls is a 403.",
    fix: "add `dpop` to `proof.accept`, or take `cors` out",
    waivable: true,
    check: onIntegrations(
      ({ integration: { cors, proof }, at }): Hit | false =>
        cors !== undefined &&
        proof.every((kind) => kind === "mtls") && {
          at: at("cors"),
          message: "pages may call, and `mtls` is all that is accepted of them",
        },
    ),
  },
  {
    id: "cors-loopback-origin",
    severity: "warning",
    title: "Pages of everybody's own machine may call in production",
    why: "Whatever runs on a user's machine can serve a page at `localhost`: a tool, a package under development, somebody else's program on a shared host. With a token it reads the answers of production in that user's browser.",
    fix: "name the origin under `environments` for the environment that developers use",
    waivable: true,
    check: onIntegrations(({ integration: { cors }, environment, at }): Hit | false => {
      const local = cors?.origins.find((origin) => loopbackOrigin.test(origin));
      return (
        local !== undefined &&
        /^prod/.test(environment.name) && {
          at: at("cors", "origins"),
          message: `pages at ${local} may call in ${environment.name}`,
        }
      );
    }),
  },
];
