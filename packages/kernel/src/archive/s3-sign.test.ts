// Vectors: the four examples of "Authenticating Requests: Using the Authorization Header", Amazon S3 API reference.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { inspect } from "node:util";
import { Secret } from "../seal/secret.ts";
import { type SignedRequest, signS3 } from "./s3-sign.ts";

const credentials = {
  accessKeyId: "AKIAIOSFODNN7EXAMPLE",
  secretAccessKey: Secret.fromText("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
};
const scope = { credentials, region: "us-east-1", now: Date.UTC(2013, 4, 24) };
const host = "examplebucket.s3.amazonaws.com";
const hashOf = (text: string) => createHash("sha256").update(text).digest("hex");

const examples: readonly (readonly [string, SignedRequest, string])[] = [
  [
    "GET Object",
    { method: "GET", path: "/test.txt", query: {}, host, headers: { range: "bytes=0-9" }, contentHash: hashOf("") },
    "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
  ],
  [
    "PUT Object",
    {
      method: "PUT",
      path: "/test%24file.text",
      query: {},
      host,
      headers: { date: "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY" },
      contentHash: hashOf("Welcome to Amazon S3."),
    },
    "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
  ],
  [
    "GET Bucket Lifecycle",
    { method: "GET", path: "/", query: { lifecycle: "" }, host, headers: {}, contentHash: hashOf("") },
    "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
  ],
  [
    "Get Bucket (List Objects)",
    { method: "GET", path: "/", query: { prefix: "J", "max-keys": "2" }, host, headers: {}, contentHash: hashOf("") },
    "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
  ],
];

for (const [name, request, signature] of examples)
  test(`signs the published example ${name} as it was published`, () => {
    assert.match(signS3(request, scope)["authorization"] ?? "", new RegExp(`,Signature=${signature}$`));
  });

test("shows the secret key in no header, and the credentials not when they are printed", () => {
  const [, request] = examples[0] ?? assert.fail();
  const printed = inspect({ headers: signS3(request, scope), credentials }, { depth: 9 });
  assert.ok(!printed.includes("wJalrXUtnFEMI"));
});
