// Promises a package registry on loopback that has our packages as they were packed and everything else as the machine's own registry has it,
// so that `npm install sallyport` can be tried as a reader types it. Trusts the tarballs it is given. npm registry API: packuments and tarballs.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { basename } from "node:path";

export interface PackedPackage {
  readonly name: string;
  readonly version: string;
  /** The tarball. */
  readonly path: string;
}

function manifestIn(tarball: string): Readonly<Record<string, unknown>> {
  const done = spawnSync("tar", ["-xOzf", tarball, "package/package.json"], { encoding: "utf8" });
  if (done.status !== 0) throw new Error(`${tarball} has no manifest: ${done.stderr}`);
  return JSON.parse(done.stdout);
}

export interface LocalRegistry {
  readonly url: string;
  close(): Promise<void>;
}

/** `upstream`: the registry the machine is set up with, for every package that is not ours. */
export async function startLocalRegistry(packages: readonly PackedPackage[], upstream: string): Promise<LocalRegistry> {
  const files = new Map(packages.map((one) => [basename(one.path), one]));
  let url = "";
  const packument = (one: PackedPackage): object => {
    const bytes = readFileSync(one.path);
    const dist = {
      tarball: `${url}/-tarballs/${basename(one.path)}`,
      integrity: `sha512-${createHash("sha512").update(bytes).digest("base64")}`,
      shasum: createHash("sha1").update(bytes).digest("hex"),
    };
    return {
      name: one.name,
      "dist-tags": { latest: one.version },
      versions: { [one.version]: { ...manifestIn(one.path), dist } },
    };
  };
  const server = createServer(async (request, response) => {
    const path = decodeURIComponent(request.url ?? "/").replace(/^\//, "");
    const tarball = files.get(path.replace(/^-tarballs\//, ""));
    const ours = packages.find((one) => one.name === path);
    if (tarball !== undefined) response.writeHead(200).end(readFileSync(tarball.path));
    else if (ours !== undefined)
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(packument(ours)));
    else response.writeHead(307, { location: new URL(request.url?.slice(1) ?? "", upstream).href }).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  url = `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
  return {
    url,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
