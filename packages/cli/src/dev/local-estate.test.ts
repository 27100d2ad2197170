// An estate as `dev` serves it: what of it is about somewhere else is left out, and only that.
import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryEstateIo } from "@sallyport/control/registry/config/estate-io.ts";
import { loadEstateFrom } from "@sallyport/control/registry/config/load.ts";
import { asLocal, listenersOf, strayListeners } from "./local-estate.ts";

test("a listener behind balancers is served without them, at the address it is opened at; one that answers proxies stays one", () => {
  const written = [
    "listeners:",
    "  public:",
    "    url: https://api.acme.example",
    "    region: eu",
    "    proxyProtocol: { trustedProxies: [10.0.3.7] }",
    "  asked:",
    "    url: https://edge.acme.example",
    "    authorizer: { proxy: nginx, trustedProxies: [10.0.3.8] }",
    "",
  ].join("\n");
  const loaded = loadEstateFrom(memoryEstateIo({ "sallyport.yaml": written }, () => Date.UTC(2026, 10, 30)));
  assert.deepEqual(listenersOf(loaded), ["asked", "public"]);
  const local = asLocal(
    loaded,
    new Map([
      ["public", "https://127.0.0.1:8443"],
      ["asked", "https://127.0.0.1:8444"],
    ]),
  );
  const [asked, open] = local.estate.environments[0]?.listeners ?? [];
  assert.deepEqual(open, { name: "public", serves: "gateway", url: "https://127.0.0.1:8443", region: null });
  assert.equal(asked?.url, "https://edge.acme.example", "callers call the proxy, and their proofs name it");
  assert.deepEqual(asked?.authorizer, { proxy: "nginx", trustedProxies: ["10.0.3.8"] });
});

test("a listener that came while dev runs, and one that went, are named at their line; without any in the estate `public` is the one", () => {
  const load = (text: string) =>
    loadEstateFrom(memoryEstateIo({ "sallyport.yaml": text }, () => Date.UTC(2026, 10, 30)));
  const listeners = (...names: string[]) =>
    load(
      `estate: tiny\nlisteners:\n${names.map((name) => `  ${name}:\n    url: https://${name}.acme.example\n`).join("")}`,
    );
  assert.deepEqual(strayListeners(listeners("public", "inner"), ["public", "inner"]), []);
  assert.deepEqual(strayListeners(load("estate: tiny\n"), ["public"]), []);
  assert.deepEqual(strayListeners(listeners("public", "inner"), ["public"]), [
    { listener: "inner", is: "not-open", file: "sallyport.yaml", line: 5 },
  ]);
  assert.deepEqual(
    strayListeners(listeners("inner"), ["public"]).map(({ listener, is }) => [listener, is]),
    [
      ["inner", "not-open"],
      ["public", "not-declared"],
    ],
  );
});
