// Promises what may be written in a file of `serve --alerts`: one sentence per key in the page. Trusts nothing. Specified in docs/alerts.md "A notifier".
import { z } from "zod";
import { dialled, httpsUrl, list, reference, text } from "../../audit/export/setting-words.ts";
import { id } from "../../registry/config/words.ts";
import { severities } from "../detector.ts";

const mailbox = () =>
  text(
    /^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-][A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{0,63}@(?=.{1,253}$)[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?$/,
    "not a mail address",
    "write name@host, without a display name",
  );

const mailUrlForm = /^smtps?:\/\/(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252})|\[[0-9a-fA-F:]{2,39}\]):[1-9][0-9]{0,4}$/;

const mailUrl = () =>
  z.string().superRefine((given, context) => {
    if (mailUrlForm.test(given) && URL.canParse(given)) return;
    context.addIssue({
      code: "custom",
      message: "not the URL of a mail server",
      params: {
        fix: "write smtp://host:587 (STARTTLS) or smtps://host:465, with the port and without user or password",
      },
    });
  });

const common = {
  alert: id(),
  filter: z
    .strictObject({
      environments: list(id()).optional(),
      rules: list(id()).optional(),
      severity: z.enum(severities).default("informational"),
    })
    .prefault({}),
  perMinute: z.int().min(1).max(60).default(10),
};

export const alertSchema = z.discriminatedUnion("to", [
  z.strictObject({ ...common, to: z.literal("log") }),
  z.strictObject({ ...common, ...dialled, to: z.literal("webhook"), url: httpsUrl(), credential: reference() }),
  z.strictObject({
    ...common,
    ...dialled,
    to: z.literal("smtp"),
    url: mailUrl(),
    from: mailbox(),
    recipients: z.array(mailbox()).min(1).max(16),
    user: text(/^[\x21-\x7e]{1,255}$/, "not a user", "write what the mail server calls the account").optional(),
    credential: reference().optional(),
  }),
]);

export type AlertFile = z.output<typeof alertSchema>;
