// Promises what this program uses of undici: its pool, which can dispatch and `request`, and its errors. Trusts the files of the exact version that
// package.json pins: they are its own, not its front door. Through that come a browser's fetch, caches, mocks and WebSockets, which nobody here
// calls and which cost every gateway five megabytes. Specified in docs/dial.md.
import { createRequire } from "node:module";
import type { Dispatcher, errors as Errors, Pool as PoolClass } from "undici";

const require = createRequire(import.meta.url);
// The files are untyped; undici's front door declares what they hold.
const dispatcher = require("undici/lib/dispatcher/dispatcher.js") as { readonly prototype: Dispatcher };
const request = require("undici/lib/api/api-request.js") as Dispatcher["request"];
// As the front door does for all dispatchers.
Object.assign(dispatcher.prototype, { request });

export const Pool = require("undici/lib/dispatcher/pool.js") as typeof PoolClass;
export const errors = require("undici/lib/core/errors.js") as typeof Errors;
