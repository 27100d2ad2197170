import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createServer } from "node:net";
import { test } from "node:test";
import { promisify } from "node:util";
import { freePorts } from "./port-lane.test-support.ts";

const source = `import { freePorts } from "${new URL("port-lane.test-support.ts", import.meta.url).href}"; console.log(JSON.stringify(await freePorts(60)));`;

test("ports that are said to be free can be opened, and no two are the same", async () => {
  const ports = await freePorts(4);
  assert.equal(new Set(ports).size, 4);
  const [port] = ports;
  const server = createServer();
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, "127.0.0.1", resolve));
  server.close();
});

test("another process gets none of them, listened on or not, and what is taken is passed over", async () => {
  const ours = await freePorts(60);
  const [taken = 0] = ours;
  const server = createServer();
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(taken, "127.0.0.1", resolve));
  assert.ok(!(await freePorts(70)).includes(taken));
  server.close();
  const argv = ["--disable-warning=ExperimentalWarning", "--input-type=module", "--eval", source];
  const others = await Promise.all([1, 2, 3, 4].map(() => promisify(execFile)(process.execPath, argv)));
  const all = [...ours, ...others.flatMap(({ stdout }) => JSON.parse(stdout))];
  assert.equal(new Set(all).size, 5 * 60);
});
