// Promises a process whose fdatasync fails from the moment a file exists, as that of a dying disk does; loaded before the binary with `--import`.
// Trusts the test that names the file. SQLite has its own way to the disk and is not touched.
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

const broken = process.env["TEST_DISK_BROKEN_FILE"] ?? "";
const failure = () => Object.assign(new Error("EIO: i/o error, fdatasync"), { code: "EIO", syscall: "fdatasync" });
const { fdatasync, fdatasyncSync } = fs;
fs.fdatasyncSync = (fd) => {
  if (fs.existsSync(broken)) throw failure();
  fdatasyncSync(fd);
};
fs.fdatasync = Object.assign((fd: number, done: fs.NoParamCallback) => {
  if (fs.existsSync(broken)) setImmediate(done, failure());
  else fdatasync(fd, done);
}, fdatasync);
syncBuiltinESMExports();
