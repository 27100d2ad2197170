// Promises that a key of the design whose enforcement is not built yet is refused by name: accepted but not enforced would be a hole.
// Trusts nothing. Remove a row in the change that enforces it.

/** Key -> what to do meanwhile. */
export const laterKeys: ReadonlyMap<string, string> = new Map([
  ["expect", "remove it; silence is not watched yet"],
  ["encrypt", "remove it; do not grant operations whose fields must be encrypted"],
  ["stepUp", "remove it; do not grant operations that need step-up"],
  ["scope", "remove it; the scope is `<system>:<operation>`"],
  ["audience", "remove it; the audience follows from the issuer and the system"],
  ["webhooks", "remove it"],
  ["events", "remove it"],
  ["connection", "remove it"],
  ["connections", "remove it"],
  ["schedule", "remove it"],
  ["lane", "remove it"],
  ["subjects", "remove it"],
  [
    "issuers",
    "remove it; our issuer is `<identity url>/<tenant>/<environment>`, and trusted ones are files in issuers/",
  ],
  ["storage", "remove it; state lies under `--data`"],
  ["groups", "remove it; gateway groups are made with join tokens"],
  ["address", "remove it; a node is told its address with `sallyport serve --listen <name>=host:port`"],
  ["clientCertificates", "remove it; over TLS every listener asks for one, and a bad one is a recorded denial"],
  [
    "trustedProxies",
    "remove it; the address of a crossing is the peer's own, and forwarding headers are dropped. Balancers that pass TCP on stand under `proxyProtocol`, proxies that only ask under `authorizer`",
  ],
  // Of a system; listeners have it.
  ["region", "remove it; where a system stands is not checked yet"],
]);
