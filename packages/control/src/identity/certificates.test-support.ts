// Promises throw-away self-signed certificates for tests of listeners and bound tokens. Trusts nothing: their keys live only in the test process.
// Format: RFC 5280 §4.1, written by hand so that these tests stand on no code they judge.
import { generateKeyPairSync, sign } from "node:crypto";

export interface TestCertificate {
  readonly cert: string;
  readonly key: string;
}

export interface TestName {
  readonly type: "ip" | "dns" | "uri";
  readonly value: string;
}

function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

const ecdsaWithSha256 = der(0x30, Buffer.from("06082a8648ce3d040302", "hex"));
const commonName = der(0x30, der(0x31, der(0x30, Buffer.from("0603550403", "hex"), der(0x0c, Buffer.from("test")))));
const time = (at: number): Buffer =>
  der(0x18, Buffer.from(`${new Date(at).toISOString().replace(/[-:T]/g, "").slice(0, 14)}Z`));

function generalName(name: TestName): Buffer {
  if (name.type === "ip") return der(0x87, Buffer.from(name.value.split(".").map(Number)));
  return der(name.type === "dns" ? 0x82 : 0x86, Buffer.from(name.value));
}

/** A self-signed P-256 certificate with these subject alternative names, ending at `notAfterMs` (default: in an hour). */
export function testCertificate(
  names: readonly TestName[],
  notAfterMs: number = Date.now() + 3_600_000,
): TestCertificate {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const san = der(0x30, Buffer.from("0603551d11", "hex"), der(0x04, der(0x30, ...names.map(generalName))));
  const body = der(
    0x30,
    der(0xa0, Buffer.from("020102", "hex")),
    der(0x02, Buffer.from("01", "hex")),
    ecdsaWithSha256,
    commonName,
    der(0x30, time(notAfterMs - 7_200_000), time(notAfterMs)),
    commonName,
    publicKey.export({ format: "der", type: "spki" }),
    der(0xa3, der(0x30, san)),
  );
  const signature = sign("sha256", body, privateKey);
  const certificate = der(0x30, body, ecdsaWithSha256, der(0x03, Buffer.from([0]), signature));
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${certificate
      .toString("base64")
      .match(/.{1,64}/g)
      ?.join("\n")}\n-----END CERTIFICATE-----\n`,
    key: String(privateKey.export({ format: "pem", type: "pkcs8" })),
  };
}
