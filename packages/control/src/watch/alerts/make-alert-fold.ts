// Promises the fold of one notifier, as the follower's thread makes it: its folder, its place and its way of telling. Trusts the follower for the settings.
// Described in docs/alerts.md.
import { join } from "node:path";
import { createDialer } from "@sallyport/kernel/dial/dialer.ts";
import { makeDirectoriesDurably } from "@sallyport/kernel/log/disk.ts";
import { realDisk } from "@sallyport/kernel/log/real-disk.ts";
import type { FoldHost, FoldMaker } from "../../audit/follow/fold.ts";
import { AlertFold } from "./alert-fold.ts";
import type { AlertSettings, AlertTarget } from "./alert-settings.ts";
import { logNotifier, logService } from "./log-notifier.ts";
import type { Notifier } from "./notifier.ts";
import { smtpNotifier } from "./smtp-notifier.ts";
import { webhookNotifier } from "./webhook-notifier.ts";

export const alertsFolder = "alerts";

export const makeFold: FoldMaker = async (id, options, host) => {
  // The order is control's own.
  const { name, filter, perMinute, target } = options as AlertSettings;
  const disk = realDisk();
  const parent = join(host.dataDirectory, alertsFolder);
  const folder = join(parent, name);
  makeDirectoriesDurably(disk, parent);
  makeDirectoriesDurably(disk, folder);
  return new AlertFold(
    {
      ...{ id, name, filter, perMinute },
      notifier: openNotifier(target, host),
      placePath: join(folder, "place.json"),
      deadLetterPath: join(folder, "dead-letters.json"),
    },
    { disk, host, now: host.now, random: Math.random },
  );
};

function openNotifier(target: AlertTarget, { call, now }: Pick<FoldHost, "call" | "now">): Notifier {
  switch (target.to) {
    case "log":
      return logNotifier((line) => call(logService, line));
    case "webhook":
      return webhookNotifier(target, { ...target.place, dialer: createDialer(), now });
    case "smtp":
      return smtpNotifier(target, now);
  }
}
