// Promises the forms of values in files of `serve --exports` and `serve --alerts`; what is wrong is named without repeating it. Trusts nothing.
// Specified in docs/export.md "A sink" and docs/alerts.md "A notifier".
import { z } from "zod";

/** A text in a form; the value itself is never repeated in a message. */
export const text = (pattern: RegExp, refused: string, fix: string) =>
  z.string().superRefine((given, context) => {
    if (!pattern.test(given)) context.addIssue({ code: "custom", message: refused, params: { fix } });
  });

export const reference = () =>
  text(
    /^(?:file:\/[^\u0000-\u001f]{1,1023}|env:[A-Za-z_][A-Za-z0-9_]{0,127})$/,
    "not a reference to a credential",
    "write `file:` and an absolute path, or `env:` and the name of a variable; a credential never stands in configuration",
  );

export const path = () =>
  text(/^\/[^\u0000-\u001f]{1,1023}$/, "not an absolute path", "write a path that begins with /");

export const httpsUrl = () =>
  z.string().superRefine((given, context) => {
    const url = URL.canParse(given) ? new URL(given) : null;
    const isPlain =
      url !== null && url.protocol === "https:" && url.username === "" && url.password === "" && url.hash === "";
    if (!isPlain)
      context.addIssue({
        code: "custom",
        message: "not a URL that records may be sent to",
        params: {
          fix: "write https://host[:port][/path] without a user or password; credentials go into `credential`",
        },
      });
  });

export const word = () => text(/^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/, "not a name", "use letters, digits and . _ : -");

export const list = <T extends z.ZodType>(of: T) => z.array(of).min(1).max(64);

/** Where connections go, and whom they trust there. */
export const dialled = {
  allowPrivate: z.boolean().default(false),
  tls: z.strictObject({ ca: path().optional(), cert: path().optional(), key: path().optional() }).prefault({}),
};
