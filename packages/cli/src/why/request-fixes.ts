// Promises the fix for what a caller got wrong in one request (its key, its signature, its content, its Idempotency-Key) and for a provider that failed. Pure.
// Trusts the gateway's facts, and shows them only. Specified in docs/cli/why.md; each code has its page in docs/problems.
type Facts = Readonly<Record<string, string>>;

export const fixesOfRequests: Readonly<Record<string, (facts: Facts) => string>> = {
  "credentials-malformed": () => "the caller sends one proof, once: a token with its DPoP proof, or an API key",
  "token-malformed": ({ why = "" }) =>
    why.startsWith("an API key")
      ? "the caller sends the key as `Authorization: ApiKey <key>`, or in the field that its system's file names under identity.apiKeys"
      : "send the token exactly as the token endpoint returned it; look for cut or quoted tokens in configuration",
  "api-key-unknown": ({ why = "" }) =>
    why.includes("checksum")
      ? "the caller sends the key exactly as `sallyport api-key add` wrote it: a character is missing, changed or too many"
      : "`sallyport api-key list` shows the keys that are live, by the name that was sent; `sallyport api-key add` makes a new one",
  "api-key-ended": () =>
    "make the next key (`sallyport api-key add`), and change the caller over before the one it has ends",
  "signature-key-unknown": () =>
    "the caller sends the `kid` of its declared key as `keyid`; or declare its public key under identity.signatures.keys in its system's file",
  "signature-components": ({ expected }) =>
    expected === undefined ? "sign what is there, once, as it is" : `have the signature cover ${expected} too`,
  "signature-expired": () => "set the caller's clock (NTP), and sign just before sending",
  "signature-invalid": () =>
    "have the caller print its signature base and compare it with `expected`: method, origin and path are those the gateway is called by; fields stand in the order of the list, then `@signature-params` as it is sent. If all of it fits, the key is another than the declared one",
  "signature-nonce": () =>
    "the caller puts the nonce of the last 401 (`Accept-Signature`) into `nonce`, and signs again",
  "signature-replayed": () => "sign each request anew; two that are alike and of one second need a `nonce` each",
  "content-digest": () =>
    "make Content-Digest over the very octets that are sent; whoever changes content on its way breaks it",
  "content-type": ({ detail }) =>
    `send what the operation takes, or declare another type under body.contentType of the operation${detail === undefined ? "" : ` (${detail})`}`,
  "schema-mismatch": ({ operation }) =>
    `send what the schema asks for; sallyport show ${operation ?? "<system>:<operation>"} names the file and line of the schema`,
  "body-malformed": () => "the caller sends content that reads in one way only; nothing is repaired here",
  "idempotency-key-missing": () =>
    'send Idempotency-Key: "…", with a value chosen anew for each effect and kept for its repeats (sallyport call --idempotency-key)',
  "idempotency-key-malformed": () => 'write the key in double quotes: Idempotency-Key: "8e03978e-40d5-43e8"',
  "idempotency-key-reused": () => "choose a new key for a new effect; a repeat asks exactly what was asked first",
  "idempotency-in-flight": () =>
    "wait for the first one (Retry-After) and ask again with the same key: its answer comes back",
  "idempotency-outcome-unknown": ({ crossing }) =>
    `look at the provider whether the effect of ${crossing ?? "the first crossing"} happened; only then ask with a new key`,
  "upstream-unreachable": () => "start the provider, or correct `url`; sallyport doctor tries to reach it",
  "upstream-timeout": () =>
    "make the provider faster, or give it more time: `timeout` of the operation, `timeouts` of the system",
  "upstream-open": () =>
    "nothing here: the provider failed several times in a row, and is tried again by itself; sallyport doctor says whether it can be reached, `breaker` of the system when it is left alone",
};
